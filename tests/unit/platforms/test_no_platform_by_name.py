"""Outside `meshctl/platforms` nothing decides by the name of a platform, or by the type of its environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl.platforms import registry

ROOT = Path(__file__).parents[3]
NAMES = frozenset(registry.installed().platforms)
SECTIONS = frozenset(platform.environment.__name__ for platform in registry.installed().platforms.values())
# the platforms themselves, the programs that they declare, and the lab, which plays them
SPARED = ("meshctl/platforms/", "meshctl/lab/", "stacks/aws/")
PACKAGE = "meshaws"  # the Pulumi package whose resource types, but for those of every platform, are one platform's
OF_ONE_PLATFORM = re.compile(rf"^{PACKAGE}(:|$)|^:\w+:\w+$|coreweave\.com|^stacks\.aws\b")
# (file, text): why the text is no platform's name there, or decides nothing
ALLOWED = {
    ("meshctl/diagnosis.py", "aws"): "`doctor` calls the finding of AWS credentials so, whatever they are for",
    ("meshctl/diagnosis.py", "kubernetes"): "the Pulumi plugin",
    ("meshctl/diagnosis.py", PACKAGE): "the Pulumi plugin",
    ("meshctl/engine/workspace.py", "kubernetes"): "the Pulumi plugin",
    ("meshctl/engine/workspace.py", PACKAGE): "the Pulumi plugin",
    ("meshctl/load.py", "kubernetes"): "the key of a section that names a kubeconfig",
    ("meshctl/model/resource_types.py", "kubernetes"): "the Pulumi package",
    ("meshctl/model/resource_types.py", PACKAGE): "the Pulumi package",
    ("meshctl/model/resource_types.py", "meshaws:s3:Bucket"): "every platform's stacks may have it",
    ("meshctl/model/resource_types.py", "meshaws:route53:RecordSet"): "every platform's stacks may have it",
    ("meshctl/tools/table.py", "kubernetes"): "the project whose releases have kube-apiserver and kubectl",
    ("stacks/kubernetes.py", "kubernetes"): "the Pulumi package",
    ("stacks/resources.py", PACKAGE): "the Pulumi package",
    ("stacks/resources.py", "meshaws:"): "the beginning of every type of the Pulumi package",
}


def sources() -> list[Path]:
    files = [path for folder in ("meshctl", "stacks") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if not str(path.relative_to(ROOT)).startswith(SPARED)]


def docstrings(tree: ast.AST) -> set[int]:
    """The constants that are a text of their own, and decide nothing."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    docs = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def is_named(text: str) -> bool:
    return text in NAMES or text in SECTIONS or bool(OF_ONE_PLATFORM.search(text))


def violations(tree: ast.AST, file: str = "") -> Iterator[tuple[int, str]]:
    for line, text in texts(tree):
        if is_named(text) and (file, text) not in ALLOWED:
            yield line, f'has the text "{text}", which is of one platform'
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            named = {getattr(inner, "id", getattr(inner, "attr", "")) for inner in ast.walk(node.args[1])}
            named -= {"UnusableEnvironment"}  # of no platform
            yield from ((line, f"asks for the type {name}") for name in named if name.endswith("Environment"))
        for module in imported(node):
            if re.match(r"stacks\.aws\b", module):
                yield line, f"imports {module}, the program of one platform"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_the_platforms_knows_one(path: Path) -> None:
    tree = ast.parse(path.read_text())
    file = str(path.relative_to(ROOT))
    found = [
        f"{file}:{line}: {what}: make it a part of meshctl/platforms/interface.py"
        for line, what in violations(tree, file)
    ]
    assert found == []


def test_what_is_allowed_is_there() -> None:
    there = {(file, text) for file, _ in ALLOWED for _, text in texts(ast.parse((ROOT / file).read_text()))}
    assert ALLOWED.keys() <= there


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
        "import stacks.aws",
        "import stacks.aws.cluster as made",
        "from stacks import aws",
        'importlib.import_module("stacks.aws")',
        'if deployment.provider.startswith("aws"): pass',
        'AWS = "aws"\nif deployment.provider == AWS: pass',
        'rate = {"kubernetes": 1}[deployment.provider]',
        'match provider:\n  case "kubernetes": pass',
        'if type(environment).__name__ == "AwsEnvironment": pass',
        'CLUSTER = f"{AWS_PACKAGE}:eks:Cluster"',
        'CLUSTER = AWS_PACKAGE + ":eks:Cluster"',
        'POOL = "compute.coreweave.com/v1alpha1"',
    ],
)
def test_what_it_looks_for_is_found(source: str) -> None:
    assert list(violations(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        '"""Called on "aws" alone."""',
        "registry.platform(deployment.provider).cluster.made is None",
        'hint = "for example `aws sso login`"',
        'PROVIDER = f"pulumi:providers:{AWS_PACKAGE}"',
        'POD = "kubernetes:core/v1:Pod"',
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert not list(violations(ast.parse(source)))
