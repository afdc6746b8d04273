"""`meshctl check` and `meshctl schema` as a user runs them."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer
import yaml
from typer.testing import CliRunner

from meshctl.cli import opened as opening
from meshctl.cli.check import check
from meshctl.cli.context import Context
from meshctl.cli.schema import schema
from meshctl.errors import DiagnosticsError, ProtectedDataError, UsageError
from meshctl.model.deployment import Resolution
from meshctl.model.observed import ShiftedNode, ShiftsInForce
from meshctl.model.questions import Findings
from meshctl.model.stack_state import StackState
from meshctl.project import Project
from tests.golden_files import Golden
from tests.unit.stacks.declared_on_aws import example as example_deployment

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
INFEASIBLE = Path(__file__).parent / "infeasible"
app = typer.Typer()
app.command()(check)
app.command()(schema)


def context(folder: Path, **more: Any) -> Context:
    return Context(folder / "mesh.yaml", folder / "environments.yaml", **more)


def run(given: Context, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), obj=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def test_the_example_side_by_side(golden: Golden) -> None:
    golden("check/example.txt", run(context(EXAMPLE), "check"))


def test_the_example_in_detail(golden: Golden) -> None:
    golden("check/example-verbose.txt", run(context(EXAMPLE, verbose=True), "check", "aws-east"))


def test_the_example_as_json(golden: Golden) -> None:
    text = run(context(EXAMPLE, output="json"), "check")
    document = json.loads(text)
    assert document["meshctl"] == 1
    assert list(document["environments"]) == ["aws-east", "cw", "dc1"]
    for found in document["environments"].values():
        assert found["feasible"] is True
        assert set(found) >= {"gaps", "pools", "storage", "hourly_usd", "price_sources"}
        assert set(found["pools"]["train"]) >= {"machine", "nodes", "fabric", "rejected"}
        assert set(found["storage"]["weights"]) == {"as"}
    golden.json("check/example.json", document)


def test_one_storage_layer_on_every_platform(golden: Golden) -> None:
    given = context(EXAMPLE.parent / "neuralmesh")
    golden("check/neuralmesh.txt", run(given, "check"))
    document = json.loads(run(context(EXAMPLE.parent / "neuralmesh", output="json"), "check"))
    found = document["environments"]
    assert [environment["feasible"] for environment in found.values()] == [True, True, True]
    golden.json("check/neuralmesh-notes.json", {name: each["notes"] for name, each in found.items()})


def test_gaps_exit_65(golden: Golden) -> None:
    given = context(INFEASIBLE)
    golden("check/infeasible.txt", run(given, "check", code=65))
    found = json.loads(run(context(INFEASIBLE, output="json"), "check", code=65))
    assert not any(environment["feasible"] for environment in found["environments"].values())
    assert set(found["environments"]["aws"]["gaps"][0]) == {"subject", "wanted", "best", "hint"}
    assert found["environments"]["aws"]["hourly_usd"] is None


def test_what_migrate_can_not_move_is_said_before_anything_is_up(tmp_path: Path) -> None:
    shared, cache = "kind: filesystem, size: 4800GiB, throughput: 1.2GB/s", "kind: block, size: 500GiB"
    text = (EXAMPLE / "mesh.yaml").read_text(encoding="utf-8")
    for lasting in (shared, cache):
        assert f"{{{lasting}, ephemeral: true}}" in text
        text = text.replace(f"{lasting}, ephemeral: true", lasting)
    (tmp_path / "mesh.yaml").write_text(text, encoding="utf-8")
    given = Context(tmp_path / "mesh.yaml", EXAMPLE / "environments.yaml")
    lines = run(given, "check", "dc1").splitlines()
    assert lines[2].split(maxsplit=1) == ["migrate", "no: shared (filesystem), cache"]
    found = json.loads(run(Context(given.mesh_path, given.environments_path, output="json"), "check", "dc1"))
    assert found["environments"]["dc1"]["migrate"] == {"possible": False, "stays_behind": ["shared", "cache"]}


def test_the_job_of_the_docs_that_copies_a_file_system_is_one_that_can_be_run(tmp_path: Path) -> None:
    docs = (EXAMPLE.parents[1] / "docs" / "migrate.md").read_text(encoding="utf-8")
    (job,) = re.findall(r"```yaml\n(.*?)```", docs, re.DOTALL)
    head = "apiVersion: meshctl/v1\nkind: Mesh\nname: m\npools:\n  general: {nodes: 1}\n"
    (tmp_path / "mesh.yaml").write_text(head + textwrap.dedent(f"   {job.lstrip()}"), encoding="utf-8")
    given = Context(tmp_path / "mesh.yaml", EXAMPLE / "environments.yaml")
    assert "home (filesystem) stays behind" in " ".join(run(given, "check", "aws-east").split())


def test_only_the_environments_asked_about_count(tmp_path: Path) -> None:
    text = (EXAMPLE / "environments.yaml").read_text(encoding="utf-8")
    bad = "  bad: {provider: aws, region: us-east-1, zones: [us-east-1a]}\n"
    (tmp_path / "environments.yaml").write_text(
        text.replace("environments:\n", f"environments:\n{bad}", 1), encoding="utf-8"
    )
    given = Context(EXAMPLE / "mesh.yaml", tmp_path / "environments.yaml")
    assert "bad" not in run(given, "check", "cw", "dc1")
    run(given, "check", code=65)


def test_many_environments_are_shown_one_below_the_other(tmp_path: Path) -> None:
    names = [f"e{index}" for index in range(6)]
    entries = "".join(
        f"  {name}: {{provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}}\n" for name in names
    )
    (tmp_path / "mesh.yaml").write_text(
        "apiVersion: meshctl/v1\nkind: Mesh\nname: m\npools:\n  p: {nodes: 1}\n", encoding="utf-8"
    )
    (tmp_path / "environments.yaml").write_text(
        f"apiVersion: meshctl/v1\nkind: Environments\nenvironments:\n{entries}", encoding="utf-8"
    )
    lines = run(context(tmp_path), "check").splitlines()
    assert sum(line.startswith("pool/p") for line in lines) == 6
    assert len(json.loads(run(context(tmp_path, output="json"), "check"))["environments"]) == 6


def test_errors_reach_the_caller(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError):
        run(context(tmp_path), "check")
    with pytest.raises(UsageError, match="no environment"):
        run(context(EXAMPLE), "check", "nowhere")
    with pytest.raises(UsageError, match="no schema"):
        run(context(EXAMPLE), "schema", "other")


@pytest.mark.parametrize("name", ["mesh", "environments"])
def test_schema(name: str) -> None:
    document = json.loads(run(context(EXAMPLE), "schema", name))
    assert document["type"] == "object"
    assert "apiVersion" in document["properties"]


def test_questions_need_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="must be confirmed"):
        Context().confirm("apply?")
    with pytest.raises(ProtectedDataError):
        Context(yes=True).confirm_name("aws-east", "", "data is lost")
    with pytest.raises(ProtectedDataError):
        Context().confirm_name("aws-east", "aws-west", "data is lost")
    Context().confirm_name("aws-east", "aws-east", "data is lost")


def test_commands_are_light_to_import() -> None:
    """`meshctl --help` imports every command module: models, SDKs and YAML must wait until a command runs."""
    program = "import sys, meshctl.cli.check, meshctl.cli.schema, meshctl.cli.context; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    heavy = {"pydantic", "yaml", "boto3", "botocore", "pulumi", "grpc", "rich", "httpx"}
    assert heavy.isdisjoint(done.stdout.split())


MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {serve: {nodes: 2, accelerator: {model: H100, count: 8}}}
"""
FRANKFURT = """
apiVersion: meshctl/v1
kind: Environments
environments: {e: {provider: aws, region: eu-central-1, zones: [eu-central-1a, eu-central-1b]}}
"""


def test_a1_what_is_up_is_read_from_a_state_in_a_folder_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of offers lacks the machine there: a gap, unless it is up."""
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(FRANKFURT)
    monkeypatch.chdir(tmp_path)
    opened = []

    @contextmanager
    def project(*_: Any) -> Iterator[Any]:
        opened.append("project")
        made = Resolution(mesh="m", environment="e", notes=("it stays",), deployment=example_deployment())
        yield SimpleNamespace(offline_resolution=lambda _: made)

    monkeypatch.setattr(opening, "opened", project)
    assert "not offered in eu-central-1" in run(context(tmp_path), "check", "e", code=65)
    assert opened == []
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/m"
    stacks.mkdir(parents=True)
    (stacks / "e.json").write_text("{}")
    assert "it stays" in run(context(tmp_path, verbose=True), "check", "e")
    assert opened == ["project"]


def test_a1_a_state_that_can_not_be_read_leaves_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(FRANKFURT)
    monkeypatch.chdir(tmp_path)
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/m"
    stacks.mkdir(parents=True)
    (stacks / "e.json").write_text("{}")

    def broken(*_: Any) -> Any:
        raise UsageError("no pulumi")

    monkeypatch.setattr(opening, "opened", broken)
    assert "not offered in eu-central-1" in run(context(tmp_path), "check", "e", code=65)


@pytest.mark.parametrize("is_online", [False, True])
def test_a_shift_in_force_is_named_and_its_nodes_have_room(
    is_online: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline by the journals in the folder of the state."""
    chat = {"kind": "service", "image": "i", "pool": "serve", "replicas": 3, "resources": {"accelerators": 8}}
    mesh = {**yaml.safe_load(MESH), "workloads": {"chat": chat}}
    mesh["pools"]["train"] = mesh["pools"]["serve"]
    fewer = {**mesh, "workloads": {"chat": {**chat, "replicas": 2}}}
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump(fewer))
    (tmp_path / "environments.yaml").write_text(FRANKFURT.replace("eu-central-1", "us-east-1"))
    monkeypatch.chdir(tmp_path)
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/m"
    stacks.mkdir(parents=True)
    (stacks / "e.json").write_text("{}")
    options = ("--online",) if is_online else ()
    given = ShiftsInForce({"g2": ShiftedNode("g2", "train", "serve")}, notes=("shift: g2 of pool train …",))
    shown = {
        "shifts_in_force": lambda _: given,
        "state": lambda _: StackState(),
        "remarks": {},
    }

    @contextmanager
    def project(*_: Any) -> Iterator[Any]:
        files = context(tmp_path).load()
        made = Project(*files, cast("Any", SimpleNamespace(**shown)))
        made.notes_on_expansion = lambda _: ("expansion: …",)
        yield made

    monkeypatch.setattr(opening, "opened", project)
    answers = SimpleNamespace(of_a_plan=Findings)
    monkeypatch.setattr("meshctl.project.preflight.ask", lambda *_: answers)
    if not is_online:
        assert "shift: g2" not in run(context(tmp_path, verbose=True), "check", "e")
        (tmp_path / ".meshctl/state/shifts/m").mkdir(parents=True)
    assert "only while nodes are shifted" not in run(context(tmp_path, verbose=True), "check", "e", *options)
    (tmp_path / "mesh.yaml").write_text(yaml.safe_dump(mesh))
    said = run(context(tmp_path, verbose=True), "check", "e", *options)
    assert "shift: g2 of pool train" in said
    assert "expansion: …" in said
    assert "have room only while nodes are shifted" in " ".join(said.split())
