"""Measures the fabric of a pool by nccl-tests on its nodes. EDGE.

Called by `cli.bench`; by `cli.gate` and `meshctl.migrate` before the workloads of a pool start whose fabric has
`expect`, see `fabric_gate`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from meshctl.bench import cluster_jobs, result_files
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.engine.state_store import StateStore
from meshctl.errors import UsageError
from meshctl.measure import nccl, packed
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.model.files.file_problems import suggestion
from meshctl.model.keys import nvlink
from meshctl.model.pods import own_images
from meshctl.render import benchmarks
from meshctl.render.benchmarks import FabricRun
from meshctl.resolve.placement import fabric_expectation

_START_S: Final = 900.0  # images with CUDA and MPI have ten gigabytes


def runs(deployment: Deployment, subject: str, nodes: int = 0) -> tuple[FabricRun, ...]:
    """The pools with a network between accelerators, or the one that `subject` names. `nodes`: how many of each take
    part, 0 = all; pools that have fewer are left out. Raises: UsageError."""
    names = [pool.name for pool in deployment.pools if fabric_expectation.is_measurable(pool)]
    subjects = [f"pool/{name}" for name in names]
    if subject and subject not in subjects:
        raise UsageError(
            f'the fabric of "{subject}" can\'t be measured{suggestion(subject, subjects)}',
            why="nccl-tests needs a pool with whole NVIDIA accelerators on at least two nodes",
            hint=f"there {'is' if len(names) == 1 else 'are'} {', '.join(subjects) or 'none'}",
        )
    if not names:
        raise UsageError(
            f"{deployment.environment} has no pool with whole NVIDIA accelerators on at least two nodes",
            why="nccl-tests measures the traffic between GPUs of different nodes",
            hint="to read results from elsewhere: --from FILE --replayed --of pool/NAME, with output of nccl-tests",
        )
    chosen = [subject.removeprefix("pool/")] if subject else names
    large_enough = [name for name in chosen if not nodes or 2 <= nodes <= deployment.pool(name).nodes]
    if not large_enough:
        largest = max(chosen, key=lambda name: deployment.pool(name).nodes)
        most = deployment.pool(largest).nodes
        beside = ", and no other one has more" if len(chosen) > 1 else ""
        raise UsageError(
            f"--nodes {nodes}: pool {largest} has {most} nodes{beside}",
            why="nccl-tests needs at least two nodes",
            hint=f"--of pool/{largest} --nodes 2 to {most}; without --nodes all of them take part",
        )
    return tuple(FabricRun(pool=name, nodes=nodes) for name in large_enough)


def measure(
    deployment: Deployment,
    run: FabricRun,
    access: ClusterAccess,
    date: str,
    say: Callable[[str], None],
    *,
    holder: cluster_jobs.Holder = cluster_jobs.ANYBODY,
) -> tuple[Result, ...]:
    """Runs nccl-tests in the cluster. Raises: as `cluster_jobs.run`, and ForeignOutputError."""
    pool = deployment.pool(run.pool)
    nodes = run.nodes or pool.nodes
    manifest, companions = benchmarks.fabric_objects(deployment, run, _new_key())
    ended = cluster_jobs.run(access, manifest, say, companions=companions, start_s=_START_S, holder=holder)
    text = packed.unpacked(ended.message)
    taken = Taken(
        machine=pool.machine,
        date=date,
        source=f"meshctl bench: nccl-tests on {nodes} nodes of pool {pool.name}",
        origin="replayed" if packed.is_recording(text) else "measured",
    )
    shared_by = nvlink.between(pool)
    setting = {"subject": f"pool/{pool.name}", "nodes": str(nodes), **({"nvlink": shared_by} if shared_by else {})}
    image = own_images.nccl_tests(pool.fabric.kind if pool.fabric is not None else "ethernet")
    return tuple(
        replace(
            each,
            setting={**setting, **each.setting},
            versions={**each.versions, "image": image},
        )
        for each in nccl.read(text, taken)
    )


def measure_and_keep(
    deployment: Deployment,
    pool: str,
    access: ClusterAccess,
    store: StateStore | None,
    say: Callable[[str], None],
    *,
    holder: cluster_jobs.Holder = cluster_jobs.ANYBODY,
) -> tuple[Result, ...]:
    """As `measure`, and keeps the results as `bench` does, where the state has a place for files."""
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results = measure(deployment, FabricRun(pool=pool), access, date, say, holder=holder)
    if store is not None:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        result_files.write(store, deployment.mesh, deployment.environment, results, moment)
    return results


def _new_key() -> str:
    """A private key in OpenSSH's form, by which rank 0 starts the others. It is good for one measurement."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
