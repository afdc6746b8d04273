"""Outside `meshctl/platforms` nothing decides by the name of a platform, or by the type of its environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl.platforms import registry

ROOT = Path(__file__).parents[3]
# `kubernetes` is also a Pulumi package and a key of files: as a platform it shows only beside `provider`
NAMES = frozenset(registry.found().platforms) - {"kubernetes"}
# the platforms themselves, the programs that they declare, and the lab, which plays them
SPARED = ("meshctl/platforms/", "meshctl/lab/", "stacks/aws/")
OF_ONE_PLATFORM = re.compile(r"^meshaws:\w|coreweave\.com")
# Types that every platform's stacks may have, and the state's own provider resources, stand here once.
TYPES = "meshctl/model/resource_types.py"


def sources() -> list[Path]:
    files = [path for folder in ("meshctl", "stacks") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if not str(path.relative_to(ROOT)).startswith(SPARED)]


def docstrings(tree: ast.AST) -> set[int]:
    """The constants that are a text of their own, and decide nothing."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def strings(node: ast.AST | None) -> Iterator[str]:
    for inner in ast.walk(node) if node is not None else ():
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def deciding(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node by which something is decided: compared, looked up, matched, or declared as the choices."""
    if isinstance(node, ast.Compare):
        yield node
    elif isinstance(node, ast.Dict):
        yield from (key for key in node.keys if key is not None)
    elif isinstance(node, ast.Subscript):  # a look-up, and `Literal["…"]`
        yield node.slice
    elif isinstance(node, ast.MatchValue):
        yield node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
        yield from node.args[:1]
    elif isinstance(node, ast.Tuple | ast.Set | ast.List):
        yield node


def is_of_provider(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and any(
        (isinstance(inner, ast.Attribute) and inner.attr == "provider")
        or (isinstance(inner, ast.Constant) and inner.value == "provider")
        for inner in ast.walk(node)
    )


def violations(tree: ast.AST) -> Iterator[tuple[int, str]]:
    texts = docstrings(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for part in deciding(node):
            known = NAMES | ({"kubernetes"} if is_of_provider(node) else frozenset())
            yield from ((line, f'decides by the name "{name}"') for name in strings(part) if name in known)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            named = {getattr(inner, "id", getattr(inner, "attr", "")) for inner in ast.walk(node.args[1])}
            yield from ((line, f"asks for the type {name}") for name in named if name.endswith("Environment"))
        if isinstance(node, ast.Constant) and id(node) not in texts and OF_ONE_PLATFORM.search(str(node.value)):
            yield line, f'names the resource type "{node.value!s}" of one platform'
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stacks.aws"):
            yield line, f"imports {node.module}, the program of one platform"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_the_platforms_knows_one(path: Path) -> None:
    tree = ast.parse(path.read_text())
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}: make it a part of meshctl/platforms/interface.py"
        for line, what in violations(tree)
        if str(path.relative_to(ROOT)) != TYPES
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'if deployment.provider != "aws": pass',
        'if "coreweave" == name: pass',
        'if provider in ("kubernetes", "onprem"): pass',
        'if environment.provider == "kubernetes": pass',
        'if environment["provider"] == "kubernetes": pass',
        'RATES = {"aws": 1, "onprem": 2}',
        'rate = RATES["coreweave"]',
        'rate = RATES.get("aws")',
        'PROVIDERS = ("aws", "coreweave")',
        'Provider = Literal["aws", "coreweave"]',
        'match provider:\n  case "aws": pass',
        "if isinstance(environment, AwsEnvironment): pass",
        "if isinstance(environment, environment_model.AwsEnvironment | CoreweaveEnvironment): pass",
        'CLUSTER = "meshaws:eks:Cluster"',
        "from stacks.aws.cluster import kubeconfig_text",
    ],
)
def test_what_it_looks_for_is_found(source: str) -> None:
    assert list(violations(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        '"""Called on "aws" alone."""',
        'packages = {"kubernetes": 1}',
        'name == "kubernetes"',
        "registry.platform(deployment.provider).cluster.made is None",
        'Finding("credentials", "aws", "ok")',
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert not list(violations(ast.parse(source)))
