"""A small deployment by hand, for tests that need a value and no resolving."""

from meshctl.model.deployment import (
    Checkpoint,
    Cluster,
    Deployment,
    Endpoint,
    Health,
    Mount,
    ObjectStore,
    Pool,
    Price,
    Workload,
)


def deployment(environment: str = "aws-east", **changes: object) -> Deployment:
    """Two pools, two object stores, a read-only inference service with a name, a training job."""
    provider = {"aws-east": "aws", "cw": "coreweave"}.get(environment, "onprem")
    made = Deployment(
        mesh="llm-prod",
        environment=environment,
        provider=provider,
        region="us-east-1",
        cluster=Cluster(name=f"llm-prod-{environment}"),
        pools=(_pool("train", 4), _pool("serve", 2)),
        object_stores=(_store(environment, "weights"), _store(environment, "checkpoints")),
        workloads=(
            Workload(
                name="chat",
                kind="inference",
                pool="serve",
                replicas=2,
                image="vllm/vllm-openai:v0.11.0",
                accelerators=8,
                ports={"http": 8000},
                health=Health(path="/health", port="http"),
                mounts=(Mount(storage="weights", kind="object", path="/models", read_only=True),),
            ),
            Workload(
                name="pretrain",
                kind="training",
                pool="train",
                replicas=4,
                image="ghcr.io/acme/train:1.4",
                accelerators=8,
                mounts=(Mount(storage="checkpoints", kind="object", path="/ckpt"),),
                checkpoint=Checkpoint(storage="checkpoints"),
            ),
        ),
        endpoints=(Endpoint(name="chat", host="chat.example.com", workload="chat", port="http"),),
    )
    return made.model_copy(update=changes)


def _pool(name: str, nodes: int) -> Pool:
    return Pool(
        name=name,
        role="general",
        machine="p5.48xlarge",
        market="on-demand",
        nodes_min=nodes,
        nodes_max=nodes,
        nodes=nodes,
        gpus_per_node=8,
        cpu_cores=192,
        memory_gib=2048,
        price=Price(subject=f"pool/{name}", usd_per_hour=55.04, source="by hand"),
    )


def _store(environment: str, name: str) -> ObjectStore:
    return ObjectStore(
        name=name,
        bucket=f"llm-prod-{environment}-{name}",
        size_gib=1,
        region="us-east-1",
        price=Price(subject=f"storage/{name}", usd_per_hour=0.05, source="by hand"),
    )
