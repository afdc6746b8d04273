"""The example platform, installed beside meshctl: the commands that need no cluster, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acme_platform import SOURCE, install

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  serve: {nodes: 2, accelerator: {model: H100, count: 8}, fabric: backend}
fabrics: {backend: {kind: rdma, bandwidth: 400Gbps}}
storage: {weights: {kind: object, size: 1TB}}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: 2
    image: vllm/vllm-openai:v0.11.0
    resources: {accelerators: 8}
    mounts: {weights: {path: /models, readOnly: true}}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  acme: {provider: acme, region: north-1, objectStorage: {profile: acme}}
  cw: {provider: coreweave, region: US-EAST-04A, objectStorage: {profile: coreweave}}
"""


def meshctl(
    folder: Path, site: Path, *arguments: str, environments: str = ENVIRONMENTS
) -> subprocess.CompletedProcess[str]:
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(environments)
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return install(tmp_path / "site")


def test_check_compares_it_with_the_others(tmp_path: Path, site: Path) -> None:
    done = meshctl(tmp_path, site, "--output", "json", "check")
    assert done.returncode == 0, done.stderr
    environments = json.loads(done.stdout)["environments"]
    assert list(environments) == ["acme", "cw"]
    acme = environments["acme"]
    pool = acme["pools"]["serve"]
    assert (pool["machine"], pool["nodes"], pool["fabric"], pool["hourly_usd"]) == ("h100x8", 2, "infiniband", 40.0)
    assert [row["machine"] for row in pool["rejected"]] == ["cpu32"]
    assert acme["not_in_cost"] == ["Acme's managed Kubernetes"]
    assert acme["storage"]["weights"]["as"].startswith("bucket m-acme-weights-")
    assert acme["hourly_usd"] == pytest.approx(40.0137, abs=0.001)  # 10 USD a month for the terabyte


def test_its_section_is_in_the_schema_for_editors(tmp_path: Path, site: Path) -> None:
    done = meshctl(tmp_path, site, "schema", "environments")
    assert "AcmeEnvironment" in json.loads(done.stdout)["$defs"]


def test_a_mistake_in_its_section_is_told_in_the_words_of_the_file(tmp_path: Path, site: Path) -> None:
    wrong = ENVIRONMENTS.replace("north-1, objectStorage", "nowhere, objectStorge")
    done = meshctl(tmp_path, site, "check", environments=wrong)
    assert done.returncode == 65
    assert 'environments.acme.objectStorge: unknown key "objectStorge"; did you mean "objectStorage"?' in done.stderr
    assert 'environments.acme.region: expected one of north-1, south-1; got "nowhere"' in done.stderr


def test_rules_of_another_platform_do_not_hold_for_it(tmp_path: Path) -> None:
    """Zones of AWS begin with their region, and its reservations name pools; elsewhere the keys may mean anything."""
    more = "    zones: tuple[str, ...] = ()\n    capacity: dict[str, list[dict[str, str]]] = {}\n"
    kubernetes = "    kubernetes: Kubeconfig = Kubeconfig()\n"
    site = install(tmp_path / "site", source=SOURCE.read_text().replace(kubernetes, kubernetes + more))
    section = "region: north-1, zones: [n1-a, n1-b], capacity: {reservations: [{pool: theirs}]}"
    done = meshctl(tmp_path, site, "check", "acme", environments=ENVIRONMENTS.replace("region: north-1", section))
    assert done.returncode == 0, done.stderr


def test_without_its_package_the_name_is_unknown_and_the_choices_are_shown(tmp_path: Path) -> None:
    done = meshctl(tmp_path, tmp_path / "no-site", "check")
    assert done.returncode == 65
    assert re.search(r'environments.acme.provider: expected one of aws, coreweave, .*; got "acme"', done.stderr)


@pytest.mark.parametrize("command", [("check", "cw"), ("status",), ("status", "cw")])
def test_without_its_package_environments_on_others_go_on(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = meshctl(tmp_path, tmp_path / "no-site", *command)
    assert done.returncode == 0, done.stderr
    assert "cw" in done.stdout
    if command == ("status",):
        assert 'expected one of aws, coreweave, kubernetes, onprem; got "acme"' in done.stdout


@pytest.mark.parametrize("command", [("check", "acme"), ("plan", "acme"), ("up", "acme"), ("status", "acme")])
def test_without_its_package_commands_that_name_its_environment_say_so(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = meshctl(tmp_path, tmp_path / "no-site", *command)
    assert done.returncode == 65
    assert done.stderr.startswith("environments.yaml:4:20: environments.acme.provider: expected one of aws, ")


def test_with_a_part_left_out_the_package_and_the_part_are_named(tmp_path: Path) -> None:
    lines = [line for line in SOURCE.read_text().splitlines(keepends=True) if not line.startswith("    egress=")]
    done = meshctl(tmp_path, install(tmp_path / "site", source="".join(lines)), "check")
    assert done.returncode == 65
    assert 'the platform "acme" of platform-acme 1.0 can\'t be used: it lacks the part egress' in done.stderr
    doctor = meshctl(tmp_path, tmp_path / "site", "doctor").stdout
    assert "it lacks the part egress" in doctor


@pytest.mark.parametrize("break_it", ["points", "environment", "machines"])
def test_a_broken_platform_is_no_hindrance_to_environments_on_others(tmp_path: Path, break_it: str) -> None:
    source = SOURCE.read_text()
    broken = source.replace("environment=AcmeEnvironment", "environment=None") if break_it == "environment" else source
    site = install(tmp_path / "site", source=broken, points="acme" if break_it == "points" else None)
    if break_it == "machines":
        (site / "platform_acme" / "machines.yaml").unlink()
    others = re.sub(r"  acme: .*\n", "", ENVIRONMENTS)
    done = meshctl(tmp_path, site, "check", "cw", environments=others)
    assert (done.returncode, done.stderr) == (0, "")
