"""Whether the rights of a workload to its buckets fit into the policy of its role. PURE.

Called by `preflight`. The policy, which `stacks.aws.storage` writes, names each bucket up to three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshctl.model.deployment import Deployment, Gap, Workload

# Of all policies that are written into one role, blanks and line ends not counted; not raised on request ("IAM and AWS
# STS quotas", IAM user guide)
MOST_CHARACTERS: Final = 10_240
# The policy of as many buckets is within it, whatever their names are: at most 63 characters each.
_ALWAYS_FITTING: Final = 30


def gaps(deployment: Deployment) -> Iterator[Gap]:
    for workload in deployment.workloads:
        buckets = _buckets(workload)
        characters = _characters(deployment, workload) if len(buckets) > _ALWAYS_FITTING else 0
        if characters > MOST_CHARACTERS:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted=f"rights to {len(buckets)} object stores, {characters:,} characters of policy",
                best=f"IAM takes {MOST_CHARACTERS:,} characters in the policies of a role",
                hint="mount with `readOnly: true` what the workload only reads, which is shorter; join object stores,"
                " with folders in them; or divide the work among several workloads, each with a role of its own",
            )


def _buckets(workload: Workload) -> set[str]:
    checkpoints = {workload.checkpoint.storage} if workload.checkpoint else set()
    return checkpoints | {mount.storage for mount in workload.mounts if mount.kind == "object"}


def _characters(deployment: Deployment, workload: Workload) -> int:
    from stacks.aws.storage import bucket_policy  # with the Pulumi SDK: only of workloads with very many buckets

    return len("".join(bucket_policy(deployment, workload).split()))
