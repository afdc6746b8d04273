"""Pulumi's SDK has the private names that meshctl uses, and only one module uses them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from pulumi import automation
from pulumi.automation import _stack
from pulumi.automation._server import LanguageServer

from meshctl.engine import pulumi_private
from meshctl.engine.command import PulumiProgram

ROOT = Path(__file__).parents[3]
PRODUCT = sorted(
    path for folder in ("meshctl", "meshwire", "stacks", "providers") for path in (ROOT / folder).rglob("*.py")
)
ALLOWED = "meshctl/engine/pulumi_private.py"
NOT_EXPORTED = {"pulumi.automation.errors"}  # public by name, and in no documentation


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_the_names_are_there() -> None:
    assert parameters(automation.Stack._run_pulumi_cmd_sync) == ["self", "args", "on_output", "on_error"]
    assert parameters(automation.Stack.__init__) == ["self", "name", "workspace", "mode"]
    assert pulumi_private.SELECT.name == "SELECT"
    assert parameters(LanguageServer.__init__) == ["self", "program"]
    assert parameters(LanguageServer.Run) == ["self", "request", "context"]
    assert issubclass(vars(_stack)["LanguageServer"], LanguageServer)  # the name by which stacks make it
    error = pulumi_private.command_error(automation.CommandResult("", "error: no stack named 'x' found", 255))
    assert isinstance(error, automation.StackNotFoundError)


def test_our_program_stands_in_for_the_sdks_own() -> None:
    assert set(automation.PulumiCommand.__annotations__) == {"command", "version"}
    theirs, ours = parameters(automation.PulumiCommand.run), parameters(PulumiProgram.run)
    assert ours[: len(theirs)] == theirs


def private_names(source: str) -> list[str]:
    """What a module takes from a private module of pulumi, or as a private attribute of a stack of the SDK."""
    names = []
    for node in ast.walk(ast.parse(source)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "pulumi" and (any(part.startswith("_") for part in parts) or module in NOT_EXPORTED):
                names.append(module)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_run_pulumi"):
            names.append(node.attr)
    return names


@pytest.mark.parametrize(
    "source",
    [
        "from pulumi.automation._cmd import CommandResult",
        "from pulumi.automation import _stack",
        "import pulumi.automation._stack as s",
        "from pulumi.automation.errors import create_command_error",
        "def f(stack): stack._run_pulumi_cmd_sync([])",
    ],
)
def test_a_private_name_is_seen(source: str) -> None:
    assert private_names(source)


def test_only_one_module_uses_private_names() -> None:
    users = {str(path.relative_to(ROOT)) for path in PRODUCT if private_names(path.read_text())}
    assert users == {ALLOWED}
