"""Keys of the two files that act neither on resources nor on gaps or prices: what each acts on. For `test_every_field`.

Each function reads what its keys act on from the product's own code, so that a key that loses its effect shows.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import trustme

from meshctl import secret_variables
from meshctl.bench import fabric_gate
from meshctl.catalog import load_catalog
from meshctl.deploy.secrets import secret_values
from meshctl.deploy.session import Session
from meshctl.dns import endpoint_records, records
from meshctl.model.deployment import Deployment
from meshctl.model.mesh import Tls
from meshctl.resolve import report
from meshctl.resolve.placement.machine_types import machines, offerings
from meshctl.resolve.placement.machine_types.machines import Requirement
from meshctl.resolve.work import gateways
from stacks.edge import DnsRecord
from tests.unit.fields import effects
from tests.unit.fields.sample import Read


def _on_aws(read: Read) -> Deployment:
    deployment = read.deployment("aws")
    if deployment is None:
        raise AssertionError("the sample does not fit its AWS environment")
    return deployment


def aws_provider(read: Read) -> object:
    """The AWS provider's own configuration, which all its resources are made with."""
    declared: Any = effects.declared(_on_aws(read))
    return declared["aws"]


def dns_records(read: Read) -> object:
    """The records that `up` writes for the mesh's endpoints."""
    deployment = _on_aws(read)
    addresses = {endpoint.name: "10.0.0.1" for endpoint in deployment.endpoints}
    return records.after_up(deployment, {}, addresses, read.environments.dns)


def dns_credentials(read: Read) -> object:
    """The AWS profile that the endpoints' records are written with."""
    written = []

    def run(program: Callable[[], None] | None) -> Any:
        written.append(program)
        return mock.Mock(spec=["up"])

    name = DnsRecord("chat.example.com", "aws", "10.0.0.1", zone_id="Z1")
    endpoint_records.EndpointRecords("every", read.environments.dns, run).write({"chat": name}, current={})
    (program,) = written
    assert isinstance(program, functools.partial)
    return program.keywords["profile"]


def state_backend(read: Read) -> object:
    """Where Pulumi keeps the state, and what encrypts its secrets."""
    with mock.patch.dict(os.environ):  # a session puts meshctl's own folder on PATH
        backend = Session(read.folder, read.mesh.name, read.environments).backend
    return backend.engine_url, backend.secrets_provider


def secrets_of_workloads(read: Read) -> object:
    """The values that `up` puts into the cluster's Secrets: by variable and by file."""
    for name in ("registry", "other"):
        registry = {"auths": {"ghcr.io": {"auth": name}}}
        (read.folder / f"{name}.json").write_text(json.dumps(registry))
    secret_variables.forget()
    tokens = {"HF_TOKEN": "first", "OTHER_TOKEN": "second"}
    with mock.patch.dict(os.environ, {**tokens, "MESHCTL_SECRET_API_CERTIFICATE": _certificate()}):
        return secret_values.collect(_on_aws(read), read.environments)


def issuers(read: Read) -> object:
    """Who makes the certificate of an endpoint with `tls: true`. The sample has none, as AWS has nobody for that."""
    endpoints = {name: each.model_copy(update={"tls": Tls()}) for name, each in read.mesh.endpoints.items()}
    mesh = read.mesh.model_copy(update={"endpoints": endpoints})
    return [gateways.workloads(mesh, environment) for environment in read.environments.environments.values()]


def measured_first(read: Read) -> object:
    """The pools that `up` measures before their workloads start, and what it wants of them."""
    fabrics = {pool.name: pool.fabric for pool in fabric_gate.gated(_on_aws(read), None)}
    return {name: each.expect if each is not None else None for name, each in fabrics.items()}


def machines_of_another_region(read: Read) -> object:
    """The choice in a region that had not the machine when the catalog's table was made: the sample is in another."""
    environment = read.environments.environments["aws"].model_copy(update={"region": "eu-central-1"})
    requirement = Requirement(("H100",), 8, 0, 0, 0, 0, "amd64", False, 0, "any", "on-demand", 2, False, "")
    return machines.choose(offerings.in_environment(load_catalog(), environment), "aws", "eu-central-1", requirement)


@functools.cache
def _certificate() -> str:
    made = trustme.CA().issue_cert("api.example.com")
    text: bytes = made.cert_chain_pems[0].bytes() + made.private_key_pem.bytes()
    return text.decode()


def check_report(read: Read) -> object:
    """What `check --output json` says: pods get the same on InfiniBand and on RoCE, and people are told which it is."""
    resolutions = [effects.resolved(read.mesh, read.environments, name) for name in read.environments.environments]
    return "".join(report.JsonReport(read.mesh.name).pieces(resolutions))


def neural_meshes(read: Read) -> object:
    """What `resolve` decides on the NeuralMesh of each environment, and its file systems. The rest of the sample, which
    not every environment can carry, is left out."""
    storage = {name: each for name, each in read.mesh.storage.items() if each.engine == "neuralmesh"}
    pools = {"drives": read.mesh.pools["drives"]}
    update = {"pools": pools, "storage": storage, "workloads": {}, "endpoints": {}, "fabrics": {}}
    mesh = read.mesh.model_copy(update=update)
    found = [effects.resolved(mesh, read.environments, name).deployment for name in read.environments.environments]
    return [(each.neural_mesh, each.file_systems) for each in found if each is not None]


_PLATFORMS = ("aws", "coreweave", "kubernetes", "onprem")
_OF_NEURAL_MESH = (
    *(f"storage.*.weka.{key}" for key in ("cluster", "namespace", "endpoints", "secret", "driver")),
    *(f"neuralMesh.{key}" for key in ("image", "operator", "chart", "imagePullSecret", "licence", "udp", "devices")),
    *(f"neuralMesh.{key}" for key in ("driverService", "drives")),
    *(f"neuralMesh.encryption.vault.{key}" for key in ("address", "role", "key", "authPath", "transitPath")),
    *(f"neuralMesh.organization.{key}" for key in ("name", "adminPassword", "driverPassword", "quota", "driveQuota")),
)

# The field's path, with the section in angle brackets -> what it acts on.
ELSEWHERE: Mapping[str, Callable[[Read], object]] = {
    "environments.*.<aws>.offered": machines_of_another_region,
    "environments.*.<aws>.region": aws_provider,
    **{f"environments.*.<{platform}>.{key}": neural_meshes for platform in _PLATFORMS for key in _OF_NEURAL_MESH},
    "storage.*.tier": neural_meshes,
    "fabrics.*.expect": measured_first,
    "environments.*.<kubernetes>.fabric.kind": check_report,
    "environments.*.<onprem>.fabric.kind": check_report,
    "environments.*.<coreweave>.certificates.clusterIssuer": issuers,
    "environments.*.<kubernetes>.certificates.clusterIssuer": issuers,
    "environments.*.<onprem>.certificates.clusterIssuer": issuers,
    "endpoints.*.host": dns_records,
    "blueprints.*.<serve>.endpoint": dns_records,
    "blueprints.*.<notebook>.endpoint": dns_records,
    "blueprints.*.<rag>.endpoint": dns_records,
    "dns.zone": dns_records,
    "dns.ttl": dns_records,
    "dns.profile": dns_credentials,
    "state.backend": state_backend,
    "state.secrets": state_backend,
    "secrets.*.env": secrets_of_workloads,
    "secrets.*.file": secrets_of_workloads,
}
