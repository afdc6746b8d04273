"""What a mesh and its environments lead to: gaps, prices, declared resources. Used by `test_every_field`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime.mocks import MockMonitor

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.platforms import registry
from meshctl.resolve import resolve
from tests.unit.event_loops import event_loops

CATALOG = load_catalog()
Document = dict[str, Any]


def loaded(mesh: Document, environments: Document, folder: Path) -> tuple[Mesh, Environments]:
    """Both documents, read from files as a user's are. Raises: DiagnosticsError."""
    for name, document in (("mesh", mesh), ("environments", environments)):
        (folder / f"{name}.yaml").write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))
    read = load(folder / "mesh.yaml", folder / "environments.yaml")
    if read[0].mistakes or read[1].mistakes:
        raise DiagnosticsError([*read[0].mistakes, *read[1].mistakes])
    return read


def resolved(mesh: Mesh, environments: Environments, environment: str) -> Resolution:
    return resolve(mesh, environments, environment, CATALOG)


def decided(resolution: Resolution) -> object:
    """Gaps and prices."""
    deployment = resolution.deployment
    prices = [(price.subject, price.usd_per_hour) for price in deployment.prices] if deployment else []
    return resolution.gaps, prices


def rendered(deployment: Deployment | None) -> object:
    """All Kubernetes objects, as far as no other resource has to be there."""
    return render.platform_objects(deployment) if deployment else ()


def declared(deployment: Deployment | None) -> object:
    """All resources that the environment's stack declares, as they would go over the wire. Its outputs, which hold
    the whole deployment, are left out."""
    if deployment is None:
        return ()
    wire = _Wire()
    late = {name: f"value of {name}" for name in render.late_names(render.platform_objects(deployment))}
    with event_loops():
        pulumi.runtime.set_mocks(wire, monitor=MockMonitor(wire))
        pulumi.runtime.test(lambda: registry.platform(deployment.provider).declare(deployment, late))()
    return wire.declared


class _Wire(pulumi.runtime.Mocks):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Keeps what was declared, and answers with what the stacks read from it."""

    def __init__(self) -> None:
        self.declared: dict[str, tuple[str, dict[str, Any]]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared[args.name] = (args.typ, dict(args.inputs))
        answers = {
            "identity": {"oidc": {"issuer": "https://oidc"}},
            "resourcesVpcConfig": {"clusterSecurityGroupId": "sg-1"},
            "certificateAuthority": {"data": "Q0E="},
            "DefaultVersionNumber": 1,
        }
        outputs = ("VpcId", "SubnetId", "Arn", "GroupId", "endpoint", "LaunchTemplateId")
        unknown = {output: f"{output} of {args.name}" for output in outputs}
        return f"{args.name}-id", {**unknown, **answers, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"stacks call no functions: {args.token}")
