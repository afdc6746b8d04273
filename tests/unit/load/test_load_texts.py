"""Texts that a container could not get: references to variables that it has not, and more than Linux takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load, load_mesh
from meshwire.marks import UNKNOWN_STRING

MESH = """apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  p: {nodes: 1}
storage:
  my-weights: {kind: object, size: 1GiB}
  disk: {kind: block, size: 1GiB}
workloads:
  chat:
    kind: KIND
    pool: p
    image: a/b:1
    mounts: {my-weights: {path: /w}, disk: {path: /d}}
    WHERE
"""
ENVIRONMENTS = """apiVersion: meshctl/v1
kind: Environments
environments:
  dc1: {provider: kubernetes, fabric: {env: ENV}}
"""


def problems(folder: Path, where: str, kind: str = "service", env: str = "{}", fabric: str = "{env: ENV}") -> list[str]:
    (folder / "mesh.yaml").write_text(MESH.replace("KIND", kind).replace("WHERE", where), encoding="utf-8")
    environments = ENVIRONMENTS.replace("{env: ENV}", fabric).replace("ENV", env)
    (folder / "environments.yaml").write_text(environments, encoding="utf-8")
    try:
        load(folder / "mesh.yaml", folder / "environments.yaml")
    except DiagnosticsError as error:
        return [str(each).removeprefix(f"{folder}/") for each in error.diagnostics]
    return []


@pytest.mark.parametrize("where", ["env: {NAME: TEXT}", "command: [sh, -c, TEXT]", "args: [TEXT]"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("$(MESH_POOL) $(MESH_ENVIRONMENT) $(MESH_ACCELERATORS) $(MESH_ADDRESS)", "service"),
        ("$(MESH_MY_WEIGHTS_URL)", "inference"),
        ("$(MESH_RANK) $(MESH_NODES) $(MESH_LEADER) $(MESH_HOSTS)", "training"),
        ("$(MESH_RANK) $(MESH_NODES)", "batch"),
        ("$$(MESH_TYPO) $$$$(MESH_TYPO) $MESH_TYPO ${MESH_TYPO} $(MESH_TYPO:-x) $(mesh_pool) $(HOME) $$", "service"),
    ],
)
def test_references_to_what_the_pod_has(tmp_path: Path, where: str, text: str, kind: str) -> None:
    assert problems(tmp_path, where.replace("TEXT", f"'{text}'"), kind) == []


@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("env: {A: '$(MESH_PUL)'}", "15:14: workloads.chat.env.A"),
        ("command: [sh, '$(MESH_PUL)']", "15:19: workloads.chat.command.1"),
        ("args: ['a $$$(MESH_PUL) $(MESH_PUL)']", "15:12: workloads.chat.args.0"),
    ],
)
def test_a_reference_to_nothing_names_the_nearest(tmp_path: Path, where: str, place: str) -> None:
    assert problems(tmp_path, where) == [
        f'mesh.yaml:{place}: no variable "MESH_PUL" in the pods of this service workload; '
        'did you mean "MESH_POOL"? ($$(MESH_PUL) is the text itself)'
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MESH_LEADER", "batch"),
        ("MESH_HOSTS", "inference"),
        ("MESH_RANK", "service"),
        ("MESH_DISK_URL", "training"),
        ("MESH_OTHER_URL", "service"),
        ("MESH_my_weights_URL", "service"),
    ],
)
def test_a_variable_that_this_pod_has_not(tmp_path: Path, name: str, kind: str) -> None:
    (problem,) = problems(tmp_path, f"args: ['$({name})']", kind)
    assert f'no variable "{name}" in the pods of this {kind} workload; ' in problem


def test_without_a_near_name_all_are_listed(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "args: ['$(MESH_QQQQQQQQQQQQQQQ)']")
    listed = "MESH_ACCELERATORS, MESH_ADDRESS, MESH_ENVIRONMENT, MESH_MY_WEIGHTS_URL, MESH_POOL"
    assert f"there are {listed} ($$(MESH_QQQQQQQQQQQQQQQ) is the text itself)" in problem


def test_a_setting_of_the_fabric_has_the_variables_of_every_pod(tmp_path: Path) -> None:
    assert problems(tmp_path, "args: []", env="{A: '$(MESH_ADDRESS) $(HOME) $$'}") == []
    (problem,) = problems(tmp_path, "args: []", env="{A: '$(MESH_ADRESS)'}")
    place = "environments.yaml:4:49: environments.dc1.fabric.env.A"
    assert problem.startswith(f'{place}: no variable "MESH_ADRESS" in every pod; did you mean "MESH_ADDRESS"?')
    (problem,) = problems(tmp_path, "args: []", env="{A: '$(MESH_RANK)'}")
    assert 'no variable "MESH_RANK" in every pod' in problem


@pytest.mark.parametrize("where", ["args: ['TEXT']", "command: ['TEXT']"])
def test_an_argument_that_linux_takes_and_one_that_it_does_not(tmp_path: Path, where: str) -> None:
    """execve gives E2BIG beyond 32 pages, the NUL at the end included."""
    assert problems(tmp_path, where.replace("TEXT", "x" * 131071)) == []
    (problem,) = problems(tmp_path, where.replace("TEXT", "x" * 131070 + "é"))
    assert "has 131,072 bytes; Linux starts no program with more than 131,071 in one argument: put it" in problem


def test_a_variable_counts_with_its_name(tmp_path: Path) -> None:
    assert problems(tmp_path, f"env: {{NAME: '{'x' * 131066}'}}") == []
    (problem,) = problems(tmp_path, f"env: {{NAME: '{'x' * 131067}'}}")
    assert "workloads.chat.env.NAME: has 131,072 bytes; " in problem
    (problem,) = problems(tmp_path, "args: []", env=f"{{NAME: '{'x' * 131067}'}}")
    assert "environments.dc1.fabric.env.NAME: has 131,072 bytes; " in problem


def test_all_texts_of_a_workload_fit_into_one_object(tmp_path: Path) -> None:
    pieces = ", ".join(["'" + "x" * 131072 + "'"] * 8).replace("x" * 131072, "x" * 131071)
    assert problems(tmp_path, f"args: [{pieces}]") == []
    (problem,) = problems(tmp_path, f"args: [{pieces}, '12345678']\n    command: [y]")
    assert problem.startswith("mesh.yaml:10:3: workloads.chat: env, command and args have 1,048,577 bytes together; ")


@pytest.mark.parametrize("where", ["env: {A: TEXT}", "command: [TEXT]", "args: [TEXT]"])
def test_the_engines_sign_for_what_is_unknown_is_no_text(tmp_path: Path, where: str) -> None:
    (problem,) = problems(tmp_path, where.replace("TEXT", UNKNOWN_STRING))
    assert "Pulumi takes this very text" in problem
    assert problems(tmp_path, where.replace("TEXT", f"x{UNKNOWN_STRING}")) == []
    (problem,) = problems(tmp_path, "args: []", env=f"{{A: {UNKNOWN_STRING}}}")
    assert "fabric.env.A: Pulumi takes this very text" in problem


@pytest.mark.parametrize("where", ["env: {A: '$(MESH_PUL)'}", "command: ['$(MESH_PUL)']", "args: ['$(MESH_PUL)']"])
def test_texts_of_a_step_before_are_checked_too(tmp_path: Path, where: str) -> None:
    assert problems(tmp_path, f"before: [{{image: a/b:1, {where.replace('PUL', 'POOL')}}}]") == []
    (problem,) = problems(tmp_path, f"before: [{{image: a/b:1, {where}}}]")
    assert "workloads.chat.before.0." in problem
    assert 'did you mean "MESH_POOL"?' in problem


def test_variables_of_an_environment_are_checked_as_those_of_the_workload(tmp_path: Path) -> None:
    def found(workload: str, name: str) -> list[str]:
        override = f"{{}}}}, workloads: {{{workload}: {{env: {{A: '$({name})'}}}}}}, prices: {{"
        return problems(tmp_path, "args: []", "training", override)

    assert found("chat", "MESH_RANK") == []
    assert found('"*"', "MESH_POOL") == []
    (problem,) = found("chat", "MESH_RAN")
    assert 'environments.dc1.workloads.chat.env.A: no variable "MESH_RAN" in the pods of this training' in problem
    (problem,) = found('"*"', "MESH_RANK")
    assert 'no variable "MESH_RANK" in every pod' in problem


def test_the_mesh_alone_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(MESH.replace("KIND", "service").replace("WHERE", "args: ['$(MESH_NODES)']"))
    with pytest.raises(DiagnosticsError, match="1 problem"):
        load_mesh(tmp_path / "mesh.yaml")


@pytest.mark.parametrize(
    ("fabric", "problem"),
    [
        ("{env: {MESH_POOL: x}}", 'fabric.env.MESH_POOL: "MESH_POOL": names that start with MESH_ are set by meshctl'),
        ("{resource: rdma}", 'fabric.resource: "rdma" is not an extended resource like rdma/hca'),
        ('{resource: "rdma/h ca"}', 'fabric.resource: "rdma/h ca" is not an extended resource like rdma/hca'),
    ],
)
def test_a_fabric_can_only_name_what_kubernetes_has(tmp_path: Path, fabric: str, problem: str) -> None:
    (line,) = problems(tmp_path, "", fabric=fabric)
    assert line.endswith(problem)


def test_a_fabric_may_name_any_extended_resource(tmp_path: Path) -> None:
    assert problems(tmp_path, "", fabric="{resource: a-b.example.com/rdma_Shared.1}") == []
