"""Runs the AWS program of a deployment with Pulumi's mocks: what it declares, by name, and what an update ignores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

import stacks.aws
from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve
from tests.unit.event_loops import event_loops
from tests.unit.stacks.test_tokens import Monitor, Wire

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"


class NamedWire(Wire):
    """Keeps the inputs of each resource by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.inputs[args.name] = dict(args.inputs)
        return super().new_resource(args)


class Recorder(Monitor):
    """Keeps inputs, type and ignored properties of each resource."""

    def __init__(self) -> None:
        wire = NamedWire()
        super().__init__(wire)
        self.inputs = wire.inputs
        self.types: dict[str, str] = {}
        self.ignored: dict[str, set[str]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the engine's own name)
        self.types[request.name] = request.type
        self.ignored[request.name] = set(request.ignoreChanges)
        return super().RegisterResource(request)

    def of_type(self, token: str) -> dict[str, dict[str, Any]]:
        return {name: self.inputs[name] for name, type_ in self.types.items() if type_ == f"meshaws:{token}"}


def example(environments_yaml: str = "") -> Deployment:
    """The example on AWS. `environments_yaml`: a file to be read instead of the example's environments."""
    environments = Path(environments_yaml) if environments_yaml else EXAMPLE / "environments.yaml"
    mesh, read = load(EXAMPLE / "mesh.yaml", environments)
    deployment = resolve(mesh, read, "aws-east", load_catalog(), None).deployment
    assert deployment is not None
    return deployment


def declared(deployment: Deployment, late: dict[str, str] | None = None) -> Recorder:
    """`late`: values that are known only when it is brought up, instead of the example's."""
    recorder = Recorder()
    values = late or {"secret.hf-token": "x", "revision.chat-secrets": "1"}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # pulumi.runtime is not typed
    def run() -> None:
        stacks.aws.declare(deployment, values)

    with event_loops():
        pulumi.runtime.set_mocks(recorder.mocks, monitor=recorder)
        run()
    return recorder
