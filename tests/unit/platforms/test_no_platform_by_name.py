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
# Parts of words by which a name may begin or end (`eks-`, `startswith("aws-")`): the platforms that bear a company's
# name, and what is one platform's alone. "kubernetes" is in many names that are no platform's.
PARTS = (NAMES - {"kubernetes"}) | {"amazonaws", "ec2", "efs", "eks", "fsx", "karpenter"}
ONE_WORD = re.compile(r"[\w.:/@*-]+")  # what a program compares; a text for a person has spaces
VARIABLE = re.compile(r"[A-Z0-9_]+")  # of an SDK that any program on any platform may use: AWS_PROFILE
COMMAND = "the command of meshctl that a kubeconfig names"
S3 = "the host of Amazon S3, which any platform's object store may be on"
FILE_SERVICE = "a kind of file system in the model, which a deployment of any platform may name"
# (file, text): why the text is no platform's name there, or decides nothing
ALLOWED = {
    ("meshctl/cli/main.py", "eks-token"): COMMAND,
    ("meshctl/clients/aws/existing_file_systems.py", "efs"): FILE_SERVICE,
    ("meshctl/clients/aws/existing_file_systems.py", "fsx"): "the name of the API in the SDK",
    ("meshctl/clients/aws/existing_file_systems.py", "fsx-lustre"): FILE_SERVICE,
    ("meshctl/clients/aws/token_caller.py", "eks-token"): COMMAND,
    ("meshctl/deploy/guards/adopted_file_systems.py", "fsx-lustre"): FILE_SERVICE,
    ("meshctl/deploy/guards/running/pools/node_setup.py", "fsx-lustre"): FILE_SERVICE,
    ("meshctl/deploy/own_credentials.py", "eks-token"): COMMAND,
    ("meshctl/deploy/secrets/secret_values.py", ".amazonaws.com"): S3,
    ("meshctl/diagnosis.py", "kubernetes"): "the Pulumi plugin",
    ("meshctl/eks_token.py", "k8s-aws-v1."): "a part of the tokens that the command makes",
    ("meshctl/eks_token.py", "x-k8s-aws-id"): "a part of the tokens that the command makes",
    ("meshctl/engine/state_store.py", ".amazonaws.com"): S3,
    ("meshctl/engine/workspace.py", "providers.aws"): "the Pulumi plugin",
    ("meshctl/model/deployed_storage.py", "efs"): FILE_SERVICE,
    ("meshctl/model/deployed_storage.py", "fsx-lustre"): FILE_SERVICE,
    ("meshctl/model/files/foreign_environment_keys.py", "efs"): "what users of other tools write",
    ("meshctl/model/files/foreign_environment_keys.py", "fsx"): "what users of other tools write",
    ("meshctl/model/files/foreign_environment_keys.py", "kubernetes"): "the key of a section that names a kubeconfig",
    ("meshctl/model/files/foreign_keys.py", "efs"): "what users of other tools write",
    ("meshctl/model/files/foreign_keys.py", "fsx"): "what users of other tools write",
    ("meshctl/model/keys/evictions.py", "karpenter.sh/do-not-disrupt"): "what an autoscaler of nodes reads, anywhere",
    ("meshctl/model/keys/neural_mesh.py", "kubernetes"): "the path of an authentication method of Vault",
    ("meshctl/model/neural_mesh.py", "aws-all"): "what the operator of WEKA calls a way to sign drives",
    ("meshctl/model/neural_mesh.py", "kubernetes"): "the path of an authentication method of Vault",
    ("meshctl/model/pods/own_images.py", "151742754352.dkr.ecr.us-gov-east-1.amazonaws.com"): "a registry",
    ("meshctl/model/pods/own_images.py", "013241004608.dkr.ecr.us-gov-west-1.amazonaws.com"): "a registry",
    ("meshctl/model/pods/own_images.py", "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn"): "a registry",
    ("meshctl/model/pods/own_images.py", "961992271922.dkr.ecr.cn-northwest-1.amazonaws.com.cn"): "a registry",
    ("meshctl/model/pods/own_images.py", "602401143452.dkr.ecr.us-west-2.amazonaws.com"): "a registry",
    ("meshctl/model/pods/own_images.py", "public.ecr.aws/docker/library/python:3.13.9-alpine3.22"): "a public registry",
    (
        "meshctl/model/pods/own_images.py",
        "public.ecr.aws/hpc-cloud/nccl-tests:cuda12.8.1-efa1.43.2-ofiv1.16.3-ncclv2.27.7-1-testsv2.16.9",
    ): "a public registry",
    (
        "meshctl/model/pods/own_images.py",
        "ghcr.io/coreweave/nccl-tests:12.9.1-devel-ubuntu22.04-nccl2.27.6-1-7c12c62",
    ): "a public registry",
    ("meshctl/model/pods/own_images.py", "eks/aws-efa-k8s-device-plugin:v0.5.20"): "an image of a kind of fabric",
    ("meshctl/objects/object_access.py", ".amazonaws.com"): S3,
    ("meshctl/render/cluster/neural_mesh.py", "kubernetes"): "how WEKA proves itself to a Vault",
    ("meshctl/render/cluster/weka_settings.py", ".amazonaws.com"): S3,
    ("meshctl/render/pod/object_storage.py", "aws-config"): "the SDK's own file",
    ("meshctl/render/pod/object_storage.py", "0-aws-config"): "the SDK's own file",
    ("meshctl/resolve/data/existing_file_systems.py", "efs"): FILE_SERVICE,
    ("meshctl/resolve/data/existing_file_systems.py", "fsx-lustre"): FILE_SERVICE,
    ("meshctl/resolve/placement/given/given_fabric.py", "vpc.amazonaws.com/efa"): "the device of a kind of fabric",
    ("stacks/platform.py", ".amazonaws.com"): S3,
    ("meshctl/engine/workspace.py", "kubernetes"): "the Pulumi plugin",
    ("meshctl/engine/workspace.py", PACKAGE): "the Pulumi plugin",
    ("meshctl/environment_paths.py", "kubernetes"): "the key of a section that names a kubeconfig",
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
    if text in NAMES or text in SECTIONS or OF_ONE_PLATFORM.search(text):
        return True
    return bool(ONE_WORD.fullmatch(text) and not VARIABLE.fullmatch(text) and PARTS & set(re.split(r"[\W_]", text)))


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
        'if name.startswith("aws-"): pass',
        'if cluster.name.endswith("-eks"): pass',
        'if product == "eks": pass',
        'name = f"coreweave-{index}"',
        'if "fsx" in services: pass',
        'Finding("credentials", "aws", "optional")',
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
        'profile = os.environ.get("AWS_PROFILE")',
        'hint = "renew them with aws sso login"',
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert not list(violations(ast.parse(source)))
