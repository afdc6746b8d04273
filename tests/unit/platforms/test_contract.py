"""What every platform must keep to: meshctl's own, the example package, and any other that is installed.

A platform that is new here needs an entry in ENVIRONMENTS. `tests/unit/platforms/test_registry.py` says what a package
must have to be found at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from meshctl import render
from meshctl.catalog import Machine, load_catalog
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import plan_migration
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.mesh import Mesh
from meshctl.platforms import registry
from meshctl.platforms.interface import INTERFACE, Platform
from meshctl.render.pod import object_storage, pods
from meshctl.resolve import resolve
from tests.acme_platform import install, installed
from tests.unit.event_loops import event_loops

STORE = {"objectStorage": {"endpoint": "https://s3.example.com"}}
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "aws": {"region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]},
    "coreweave": {"region": "US-EAST-04A", **STORE},
    "kubernetes": {"kubernetes": {"kubeconfig": "/k", "context": "c"}, **STORE},
    "onprem": {"kubernetes": {"kubeconfig": "/k", "context": "c"}, **STORE},
    "acme": {"region": "north-1", "kubernetes": {"kubeconfig": "/k", "context": "c"}, **STORE},
}
MESH = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "pools": {
        "gpu": {"nodes": 2, "accelerator": {"model": "H100", "count": 8}, "fabric": "backend"},
        "web": {"nodes": 1, "cpu": {"cores": 16}},
    },
    "fabrics": {"backend": {"kind": "rdma"}},
    "storage": {
        "weights": {"kind": "object", "size": "1TiB"},
        "shared": {"kind": "filesystem", "size": "1TiB"},
        "cache": {"kind": "block", "size": "100GiB"},
    },
    "workloads": {
        "train": {
            "kind": "training",
            "pool": "gpu",
            "nodes": 2,
            "image": "i",
            "resources": {"accelerators": 8},
            "mounts": {"weights": {"path": "/w"}, "shared": {"path": "/s"}},
        },
        "chat": {
            "kind": "inference",
            "pool": "web",
            "replicas": 1,
            "image": "i",
            "ports": {"http": 80},
            "mounts": {"cache": {"path": "/c"}},
        },
    },
    "endpoints": {"chat": {"host": "chat.example.com", "workload": "chat", "port": "http"}},
}
MACHINE = Machine(
    provider="any",
    name="type-1",
    gpu_model="H100",
    gpu_count=8,
    gpu_memory_gib=80,
    gpu_fraction=1,
    cpu_cores=64,
    memory_gib=512,
    scratch_gb=0,
    arch="amd64",
    network_gbps=100,
    network_burst=False,
    network_cards=1,
    rdma=None,
    placements=(),
    markets=("on-demand",),
    zones=None,
    rack_nodes=0,
    quota_code="",
    prices=(),
    source="",
    date="",
    verified=True,
)


@pytest.fixture(scope="module", autouse=True)
def _with_acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(install(tmp_path_factory.mktemp("site"))):
        yield


@pytest.fixture(params=[*registry.installed().platforms, "acme"])
def platform(request: pytest.FixtureRequest) -> Platform:
    assert request.param in ENVIRONMENTS, f"{request.param}: add it to ENVIRONMENTS in {__name__}"
    return registry.platform(request.param)


def environments(platform: Platform, **more: Any) -> Environments:
    section = {"provider": platform.name, **ENVIRONMENTS[platform.name], **more}
    dns = {"provider": "route53", "zone": "example.com"}
    document = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": section}, "dns": dns}
    return Environments.model_validate(document)


def environment(platform: Platform) -> PlatformEnvironment:
    return environments(platform).environments["e"]


def deployed(platform: Platform) -> Deployment:
    resolution = resolve(Mesh.model_validate(MESH), environments(platform), "e", load_catalog())
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def objects(deployment: Deployment) -> dict[str, Any]:
    return {
        item.name: item.manifest for item in (*render.node_objects(deployment), *render.platform_objects(deployment))
    }


def container(deployment: Deployment, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = objects(deployment)[name]["spec"]["template"]["spec"]["containers"][0]
    return spec


def test_it_is_of_this_interface_and_named_as_its_section_says(platform: Platform) -> None:
    assert platform.interface == INTERFACE
    assert environment(platform).provider == platform.name
    assert type(environment(platform)) is platform.environment


def test_the_json_schema_has_its_section(platform: Platform) -> None:
    schema = Environments.model_json_schema()
    (section,) = schema["properties"]["environments"]["patternProperties"].values()
    assert section["discriminator"]["mapping"][platform.name] == f"#/$defs/{platform.environment.__name__}"


def test_the_cluster_is_made_or_given_and_never_both(platform: Platform) -> None:
    kubeconfig = platform.cluster.kubeconfig(environment(platform))
    assert (platform.cluster.made is None) == (kubeconfig is not None)
    if kubeconfig is not None:  # the name that `load` looks for, to make the path absolute
        assert kubeconfig == getattr(environment(platform), "kubernetes", None)
    described = deployed(platform).cluster
    assert described.name
    assert bool(described.version) == (platform.cluster.made is not None)


def test_a_made_cluster_can_be_told_in_a_state(platform: Platform) -> None:
    made = platform.cluster.made
    if made is None:
        assert platform.cluster.describe(Mesh.model_validate(MESH), "e", environment(platform)).version == ""
        return
    assert re.fullmatch(r"[a-z]+:[\w/]+:\w+", made.resource_type)
    assert made.product
    assert made.kubeconfig(deployed(platform), {}) == ""  # nothing is known of it yet
    assert isinstance(made.account(environment(platform)), str)
    assert isinstance(made.profile(environment(platform)), str)


def test_its_machines_are_its_own_with_a_source_and_a_date(platform: Platform) -> None:
    offer = platform.nodes.made_of
    machines = load_catalog().machines.get(platform.name, ())
    assert bool(machines) == (offer is not None)
    for machine in machines:
        assert machine.provider == platform.name
        assert machine.source
        assert re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?", machine.date), machine.name
        for price in machine.prices:
            assert price.usd_per_hour > 0, machine.name
            assert price.source, machine.name
    assert len({machine.name for machine in machines}) == len(machines)


def test_its_storage_prices_are_its_own(platform: Platform) -> None:
    for price in platform.storage.prices():
        assert (price.provider, bool(price.source)) == (platform.name, True)
        assert price.usd_per_gb_month > 0


def test_pools_get_machines_of_its_catalog_or_nodes_that_are_there(platform: Platform) -> None:
    known = {machine.name for machine in load_catalog().machines.get(platform.name, ())}
    for pool in deployed(platform).pools:
        assert (pool.machine in known) == (platform.nodes.made_of is not None)
        assert pool.labels["meshctl.dev/pool"] == pool.name


def test_what_a_node_is_labelled_with_tells_its_type(platform: Platform) -> None:
    labels = platform.nodes.labels(MACHINE)
    assert labels["node.kubernetes.io/instance-type"] == "type-1"
    assert labels["kubernetes.io/arch"] == "amd64"


def test_rdma_pods_get_its_devices_and_its_settings(platform: Platform) -> None:
    deployment = deployed(platform)
    fabric = deployment.pool("gpu").fabric
    assert fabric is not None
    assert fabric.kind != "ethernet"
    assert fabric.resource.startswith(platform.fabric.resources)
    trainer = container(deployment, "workload/train:job")
    assert trainer["resources"]["limits"][fabric.resource] == str(fabric.resource_count)
    variables = {entry["name"]: entry.get("value") for entry in trainer["env"]}
    assert fabric.env.items() <= variables.items()
    assert not any(
        fabric.resource in entry for entry in container(deployment, "workload/chat:statefulset")["resources"]
    )


def test_pods_tolerate_what_its_gpu_nodes_carry(platform: Platform) -> None:
    deployment = deployed(platform)
    on_gpus = pods.tolerations(deployment, deployment.pool("gpu"))
    for taint in platform.nodes.gpu_tolerations:
        assert taint in on_gpus
        assert taint not in pods.tolerations(deployment, deployment.pool("web"))
    assert {taint.key for taint in deployment.pool("gpu").taints} <= {entry["key"] for entry in on_gpus}


def test_device_plugins_are_installed_where_nodes_have_none(platform: Platform) -> None:
    installed_plugins = [name for name in objects(deployed(platform)) if name.endswith("-device-plugin")]
    assert bool(installed_plugins) != platform.nodes.has_device_plugins


def test_what_makes_nodes_belongs_to_their_pools(platform: Platform) -> None:
    deployment = deployed(platform)
    made = platform.nodes.objects(deployment)
    assert {item.subject for item in made} <= {"pool/gpu", "pool/web"}
    if platform.cluster.made is None and platform.nodes.made_of is not None:
        assert {item.subject for item in made} == {"pool/gpu", "pool/web"}
        for item in made:
            assert item.wait, f"{item.name}: pods would wait for nodes that may never come"
            assert item.manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "meshctl"
            pool = item.subject.removeprefix("pool/")
            assert f"'meshctl.dev/pool': '{pool}'" in str(item.manifest), "its nodes could not be told"


def test_every_storage_has_a_carrier_and_words(platform: Platform) -> None:
    resolution = resolve(Mesh.model_validate(MESH), environments(platform), "e", load_catalog())
    deployment = deployed(platform)
    assert set(resolution.storage_as) == {"weights", "shared", "cache"}
    assert all(resolution.storage_as.values())
    stored = (deployment.object_stores[0], deployment.file_systems[0], deployment.blocks[0])
    assert [each.name for each in stored] == ["weights", "shared", "cache"]
    made = {
        manifest["metadata"]["name"]: manifest["provisioner"]
        for manifest in objects(deployment).values()
        if manifest["kind"] == "StorageClass"
    }
    classes = platform.storage.made_classes
    assert made == ({deployment.blocks[0].storage_class: classes.provisioner} if classes else {})


def test_what_can_only_grow_is_something_that_holds_data(platform: Platform) -> None:
    assert {kind.resource_type for kind in platform.storage.grow_only} <= set(platform.storage.holding_types)


def test_pods_have_keys_or_an_identity(platform: Platform) -> None:
    deployment = deployed(platform)
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    given = {entry["name"] for entry in container(deployment, "workload/train:job")["env"]} & keys
    assert given == (keys if platform.objects.has_keys else set())
    assert object_storage.has_secret(deployment) == ("platform:object-storage" in objects(deployment))


def test_a_store_without_keys_needs_no_endpoint(platform: Platform) -> None:
    assert bool(deployed(platform).object_stores[0].endpoint) == platform.objects.has_keys


def test_where_pods_need_keys_a_missing_store_is_a_gap(platform: Platform) -> None:
    section = {key: value for key, value in ENVIRONMENTS[platform.name].items() if key != "objectStorage"}
    document = {"apiVersion": "meshctl/v1", "kind": "Environments"}
    given = Environments.model_validate({**document, "environments": {"e": {"provider": platform.name, **section}}})
    resolution = resolve(Mesh.model_validate(MESH), given, "e", load_catalog())
    assert ("storage/weights" in {gap.subject for gap in resolution.gaps}) == platform.objects.has_keys


def test_what_is_reached_from_outside_is_annotated_and_nothing_else(platform: Platform) -> None:
    annotations = {
        name: manifest["metadata"].get("annotations") or {}
        for name, manifest in objects(deployed(platform)).items()
        if manifest["kind"] == "Service"
    }
    outside = annotations.pop("workload/chat:load-balancer")
    assert outside == platform.load_balancers.public
    for inside in annotations.values():
        assert not platform.load_balancers.public.items() & inside.items()


def test_an_internal_endpoint_has_a_load_balancer_of_its_own(platform: Platform) -> None:
    deployment = deployed(platform)
    internal = [endpoint.model_copy(update={"access": "internal"}) for endpoint in deployment.endpoints]
    services = objects(deployment.model_copy(update={"endpoints": tuple(internal)}))
    assert "workload/chat:load-balancer" not in services
    balancer = services["workload/chat:internal-load-balancer"]
    assert (balancer["metadata"].get("annotations") or {}) == platform.load_balancers.internal
    assert balancer["spec"]["type"] == "LoadBalancer"


def test_names_are_unique_and_each_object_comes_after_what_it_needs(platform: Platform) -> None:
    deployment = deployed(platform)
    declared: set[str] = set()
    for item in (*render.node_objects(deployment), *render.platform_objects(deployment)):
        assert item.name not in declared
        assert set(item.depends_on) <= declared, item.name
        declared.add(item.name)


def test_a_deployment_is_the_same_each_time_and_is_read_back(platform: Platform) -> None:
    deployment = deployed(platform)
    assert deployment.digest == deployed(platform).digest
    assert Deployment.model_validate_json(deployment.model_dump_json()) == deployment


def test_leaving_it_has_a_price_or_is_unknown_never_free(platform: Platform) -> None:
    assert platform.egress.source
    assert platform.egress.usd_per_gb is None or platform.egress.usd_per_gb > 0


def test_its_words_are_for_people(platform: Platform) -> None:
    words = platform.words
    assert all(isinstance(gap, Gap) and gap.hint for gap in words.gaps(environment(platform)))
    said = (*words.notes(environment(platform)), *words.not_in_cost(deployed(platform)), *words.failure_hints.values())
    assert all(text and "pulumi" not in text.lower() for text in said)
    for resource_type, path in (*words.terms, *words.long_terms):
        assert re.fullmatch(r"[a-z]+:[\w./]+:\w+", resource_type), resource_type
        assert path
    assert platform.objects.endpoint_hint == "" or "https://" in platform.objects.endpoint_hint


def test_two_platforms_say_nothing_different_of_one_resource_type() -> None:
    seen: dict[tuple[str, str], str] = {}
    for each in registry.platforms():
        for key, term in (*each.words.terms.items(), *each.words.long_terms.items()):
            assert seen.setdefault(key, term) == term


def test_a_migration_can_be_planned_from_and_to_it(platform: Platform) -> None:
    storage = {"weights": {"kind": "object", "size": "100GiB"}}
    workloads = {"chat": {**MESH["workloads"]["chat"], "mounts": {"weights": {"path": "/w", "readOnly": True}}}}  # type: ignore[index]
    mesh = Mesh.model_validate({**MESH, "storage": storage, "workloads": workloads})
    here = resolve(mesh, environments(platform), "e", load_catalog()).deployment
    elsewhere = resolve(mesh, environments(registry.platform("onprem")), "e", load_catalog()).deployment
    assert here is not None
    assert elsewhere is not None
    other = elsewhere.model_copy(update={"environment": "other"})
    facts = (StoreFacts(store="weights", objects=3, total_bytes=10**12),)
    (away,) = plan_migration(here, other, facts, Options()).moves
    assert away.egress_source == platform.egress.source
    assert (away.egress_usd is None) == (platform.egress.usd_per_gb is None)
    (back,) = plan_migration(other, here, facts, Options()).moves
    assert back.egress_source == registry.platform("onprem").egress.source


class Wire(pulumi.runtime.Mocks):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Keeps what was declared; answers with what stacks read from it."""

    def __init__(self) -> None:
        self.declared: dict[str, str] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.declared[args.name] = args.typ
        answers = {
            "identity": {"oidc": {"issuer": "https://oidc"}},
            "resourcesVpcConfig": {"clusterSecurityGroupId": "sg-1"},
            "certificateAuthority": {"data": "Q0E="},
            "DefaultVersionNumber": 1,
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
        }
        unknown = dict.fromkeys(("VpcId", "SubnetId", "Arn", "GroupId", "endpoint", "LaunchTemplateId"), "x")
        return f"{args.name}-id", {**unknown, **answers, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(f"stacks call no functions: {args.token}")


def test_what_it_declares_is_all_that_was_rendered_and_what_carries_data(platform: Platform) -> None:
    deployment = deployed(platform)
    wire = Wire()
    names = render.late_names((*render.node_objects(deployment), *render.platform_objects(deployment)))
    late = {name: "x" for name in names if not name.endswith(("file_system_id", "dns_name", "mount_name"))}

    uid = "" if platform.cluster.made else "uid"
    with event_loops():
        pulumi.runtime.set_mocks(wire)
        pulumi.runtime.test(lambda: platform.declare(deployment, late, cluster_uid=uid))()
    assert set(objects(deployment)) <= set(wire.declared)
    assert wire.declared["storage/weights:bucket"] == "meshaws:s3:Bucket"
    if platform.cluster.made is not None:
        assert platform.cluster.made.resource_type in wire.declared.values()
    for resource_type, _ in platform.nodes.moved_by_others:
        assert resource_type in wire.declared.values()
