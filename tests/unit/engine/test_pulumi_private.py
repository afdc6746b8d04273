"""Pulumi's SDK has the private names that meshctl uses, and only one module uses them."""

from __future__ import annotations

import ast
import importlib
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
    """What a module takes from a private module of pulumi; and, where it imports pulumi at all, each private attribute
    that it uses and does not make itself, by name or as a text."""
    tree = ast.parse(source)
    modules = [module for node in ast.walk(tree) for module in imported(node) if module.split(".")[0] == "pulumi"]
    if not modules:
        return []
    own = own_names(tree)
    attributes = [name for node in ast.walk(tree) for name in used_attributes(node) if is_private(name)]
    from_modules = [module for module in modules if module in NOT_EXPORTED or any(map(is_private, module.split(".")))]
    return [*from_modules, *(name for name in attributes if name not in own)]


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def own_names(tree: ast.AST) -> set[str]:
    """What the module defines, and the attributes that its classes give to their objects."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def used_attributes(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
        return [str(part.value) for part in node.args[1:2] if isinstance(part, ast.Constant)]
    return []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    "source",
    [
        "from pulumi.automation._cmd import CommandResult",
        "from pulumi.automation import _stack",
        "import pulumi.automation._stack as s",
        "from pulumi.automation.errors import create_command_error",
        "from pulumi import automation\ndef f(stack): stack._run_pulumi_cmd_sync([])",
        "import pulumi\ndef f(resource): return resource._transformations",
        "import pulumi\ndef f(output): return getattr(output, '_future')",
        "import pulumi\nclass Own(pulumi.Resource):\n    def f(self): return self._providers",
    ],
)
def test_a_private_name_is_seen(source: str) -> None:
    assert private_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "import yaml\ndef f(loader): loader._stack",  # of another library
        "import pulumi\nclass Own:\n    def __init__(self): self._kind = 1\n    def f(self): self._kind",
        "from pulumi import automation\ndef f(stack): stack.workspace.program",
    ],
)
def test_own_names_are_none(source: str) -> None:
    assert private_names(source) == []


def of_the_sdk(kind: type) -> list[type]:
    return [base for base in kind.__mro__[1:] if base.__module__.split(".")[0] == "pulumi"]


def overridden(kind: type) -> list[str]:
    """The private names of the SDK that a class of ours has as well, by which it would change what the SDK does."""
    names = [name for name in vars(kind) if is_private(name) and name != "_abc_impl"]  # which ABCMeta sets
    return [name for name in names if any(name in vars(base) for base in of_the_sdk(kind))]


def test_no_class_of_ours_overrides_a_private_name() -> None:
    modules = [
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for path in PRODUCT
        if "pulumi" in path.read_text() and path.name not in ("__init__.py", "__main__.py")
    ]
    classes = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and of_the_sdk(kind)
    }
    assert len(classes) >= 5
    assert {kind.__qualname__: overridden(kind) for kind in classes if overridden(kind)} == {}


def test_an_overridden_name_is_seen() -> None:
    class Own(automation.Stack):
        def _run_pulumi_cmd_sync(self, *_: object) -> None: ...  # type: ignore[override]

    assert overridden(Own) == ["_run_pulumi_cmd_sync"]


def test_only_one_module_uses_private_names() -> None:
    users = {str(path.relative_to(ROOT)) for path in PRODUCT if private_names(path.read_text())}
    assert users == {ALLOWED}
