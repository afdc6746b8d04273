"""A small deployment, by hand, on three providers: what the render tests look at."""

from __future__ import annotations

from meshctl.model.deployment import (
    Block,
    Checkpoint,
    Cluster,
    Deployment,
    Endpoint,
    Fabric,
    FabricKind,
    FileSystem,
    Health,
    Mount,
    ObjectStore,
    Pool,
    Price,
    Provider,
    Taint,
    Workload,
)

UNKNOWN = Price(subject="", usd_per_hour=None, source="not asked")
FABRICS: dict[Provider, tuple[FabricKind, str, int, dict[str, str]]] = {
    "aws": ("efa", "vpc.amazonaws.com/efa", 32, {"FI_PROVIDER": "efa", "NCCL_SOCKET_IFNAME": "^lo,docker"}),
    "coreweave": ("infiniband", "rdma/ib", 1, {"NCCL_IB_HCA": "ibp", "NCCL_SOCKET_IFNAME": "eth0"}),
    "onprem": ("roce", "rdma/ib", 1, {"NCCL_IB_GID_INDEX": "3"}),
    "kubernetes": ("ethernet", "", 0, {}),
}
MACHINES: dict[Provider, str] = {
    "aws": "p5.48xlarge",
    "coreweave": "gd-8xh100ib-i128",
    "onprem": "8 x H100",
    "kubernetes": "8 x H100",
}


def pool(provider: Provider, name: str, role: str, nodes: int, gpus: int, *, most: int = 0) -> Pool:
    kind, resource, count, env = FABRICS[provider]
    fabric = Fabric(
        name="backend",
        kind=kind,
        bandwidth_gbps=400,
        placement="cluster",
        resource=resource,
        resource_count=count,
        env=env,
    )
    return Pool(
        name=name,
        role=role,
        machine=MACHINES[provider] if gpus else "cpu",
        market="reserved" if role == "training" else "on-demand",
        nodes_min=nodes,
        nodes_max=most or nodes,
        nodes=nodes,
        gpu_model="H100" if gpus else "",
        gpus_per_node=gpus,
        cpu_cores=96,
        memory_gib=1024,
        zones=("a",) if role == "training" else ("a", "b"),
        fabric=fabric if gpus else None,
        labels={"meshctl.dev/pool": name, "meshctl.dev/role": role},
        taints=(Taint(key="meshctl.dev/pool", value=name, effect="NoSchedule"),) if gpus else (),
        node_names=tuple(f"{name}-{index}" for index in range(nodes)) if provider == "onprem" else (),
        price=UNKNOWN,
    )


CHAT = Workload(
    name="chat",
    kind="inference",
    pool="serve",
    replicas=2,
    image="vllm/vllm-openai:v0.11.0",
    args=("--model", "/models/llama"),
    env={"LOG_LEVEL": "info"},
    secrets={"HF_TOKEN": "hf-token"},
    accelerators=8,
    cpu=64,
    memory_gib=512,
    ports={"http": 8000},
    health=Health(path="/health", port="http"),
    mounts=(Mount(storage="weights", kind="object", path="/models", read_only=True),),
)
PRETRAIN = Workload(
    name="pretrain",
    kind="training",
    pool="train",
    replicas=4,
    image="ghcr.io/acme/train:1.4",
    command=("python", "train.py"),
    accelerators=8,
    mounts=(
        Mount(storage="checkpoints", kind="object", path="/ckpt"),
        Mount(storage="shared", kind="filesystem", path="/data"),
    ),
    checkpoint=Checkpoint(storage="checkpoints", signal="SIGUSR1", grace_s=120),
)
INDEX = Workload(
    name="index",
    kind="service",
    pool="web",
    replicas=2,
    image="acme/index:2",
    cpu=1.5,
    memory_gib=3.5,
    ports={"http": 9200, "replication-peers": 9300},
    mounts=(Mount(storage="rows", kind="block", path="/rows"), Mount(storage="cache", kind="block", path="/cache")),
)
EMBED = Workload(
    name="embed",
    kind="batch",
    pool="web",
    replicas=1,
    image="acme/embed:1",
    cpu=4,
    mounts=(Mount(storage="shared", kind="filesystem", path="/data", read_only=True),),
)


def stores(provider: Provider) -> tuple[ObjectStore, ...]:
    settings: dict[Provider, dict[str, str]] = {
        "aws": {"region": "us-east-1"},
        "coreweave": {
            "region": "US-EAST-04A",
            "endpoint": "https://cwobject.com",
            "pod_endpoint": "http://cwlota.com",
            "addressing": "virtual",
            "profile": "coreweave",
        },
        "onprem": {"region": "us-east-1", "endpoint": "https://s3.dc1.example", "addressing": "path", "profile": "dc1"},
        "kubernetes": {"region": "us-east-1"},
    }
    found = [
        {
            "name": name,
            "bucket": f"llm-{name}",
            "prefix": prefix,
            "size_gib": 2048,
            "price": UNKNOWN,
            **settings[provider],
        }
        for name, prefix in (("weights", "v2"), ("checkpoints", ""))
    ]
    return tuple(ObjectStore.model_validate(store) for store in found)


def sample(provider: Provider) -> Deployment:
    block_class = {"aws": "gp3", "coreweave": "shared-vast"}.get(provider, "local-path")
    file_system = FileSystem(
        name="shared",
        service="fsx-lustre" if provider == "aws" else "storage-class",
        size_gib=4800,
        storage_class={"aws": "", "coreweave": "shared-vast"}.get(provider, "nfs"),
        price=UNKNOWN,
    )
    return Deployment(
        mesh="llm-prod",
        environment=f"{provider}-1",
        provider=provider,
        region="us-east-1",
        labels={"team": "genai"},
        cluster=Cluster(name="llm-prod-1"),
        pools=(
            pool(provider, "train", "training", 4, 8),
            pool(provider, "serve", "inference", 2, 8, most=6),
            pool(provider, "web", "general", 2, 0),
        ),
        object_stores=stores(provider),
        file_systems=(file_system,),
        blocks=(
            Block(name="rows", size_gib=100, storage_class=block_class, price=UNKNOWN),
            Block(name="cache", size_gib=500, storage_class=block_class, ephemeral=True, price=UNKNOWN),
        ),
        workloads=(CHAT, PRETRAIN, INDEX, EMBED),
        endpoints=(Endpoint(name="chat", host="chat.example.com", workload="chat", port="http"),),
    )
