"""The one link between stacks and providers, from both sides: resource tokens and their properties.

The AWS program is run with Pulumi's mocks, so that what is looked at is what would go over the wire.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import botocore.session
import pulumi
import pytest

import stacks.aws
import stacks.edge
from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.resolve import resolve
from providers.aws.rows import ALL
from providers.base.checks import input_names

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
# rows that no stack of this version declares: for meshes to come
SPARE = {"meshaws:eks:AccessEntry", "meshaws:eks:AccessPolicyAssociation"}
LATE = {"secret.hf-token": "x", "revision.chat-secrets": "1"}


class Wire(pulumi.runtime.Mocks):
    """Keeps what was declared, and answers with what the stack reads from it."""

    def __init__(self) -> None:
        self.declared: list[tuple[str, dict[str, Any]]] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared.append((args.typ, dict(args.inputs)))
        answers = {
            "identity": {"oidc": {"issuer": "https://oidc"}},
            "resourcesVpcConfig": {"clusterSecurityGroupId": "sg-1"},
            "certificateAuthority": {"data": "Q0E="},
            "LatestVersionNumber": 1,
        }
        unknown = dict.fromkeys(("VpcId", "SubnetId", "Arn", "GroupId", "endpoint", "LaunchTemplateId"), "x")
        return f"{args.name}-id", {**unknown, **answers, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"stacks call no functions: {args.token}")


@pytest.fixture(scope="module")
def declared() -> list[tuple[str, dict[str, Any]]]:
    wire = Wire()
    asyncio.set_event_loop(asyncio.new_event_loop())  # the SDK takes the thread's own, which others may have closed
    pulumi.runtime.set_mocks(wire)
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    deployment = resolve(mesh, environments, "aws-east", load_catalog(), None).deployment
    assert deployment is not None
    # without throughput, the file system is EFS: both kinds in one run
    lustre = deployment.file_systems[0]
    efs = lustre.model_copy(update={"name": "home", "service": "efs"})
    deployment = deployment.model_copy(update={"file_systems": (lustre, efs)})

    @pulumi.runtime.test
    def run() -> None:
        stacks.aws.declare(deployment, LATE)
        names = {"chat": stacks.edge.Name("chat.example.com", "aws-east", "10.0.0.1", 30, "example.com", "Z1")}
        stacks.edge.declare(names, before={}, profile="", tags={})

    run()
    return [(token, inputs) for token, inputs in wire.declared if token.startswith("meshaws:")]


def test_every_declared_token_and_property_is_a_rows(declared: list[tuple[str, dict[str, Any]]]) -> None:
    rows = {row.token: row for row in ALL}
    models: dict[str, Any] = {}
    session = botocore.session.get_session()
    for token, inputs in declared:
        assert token in rows, f"{token}: no such row"
        row = rows[token]
        model = models.setdefault(row.service, session.get_service_model(row.service))
        unknown = set(inputs) - input_names(row, model)
        assert not unknown, f"{token}: the row has no {sorted(unknown)}"


def test_every_row_is_declared_by_some_stack(declared: list[tuple[str, dict[str, Any]]]) -> None:
    assert {row.token for row in ALL} - {token for token, _ in declared} == SPARE
