"""Runs that declare an environment's buckets and nothing else: to fill them before the workloads start. EDGE.

Made by `session`, for `up --object-storage-only`, for the first step of a migration, and for buckets that are kept when
an environment is destroyed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import stacks.buckets
from meshctl.changes import Plan
from meshctl.deploy.guards import preconditions, protection
from meshctl.deploy.runs import plans
from meshctl.engine.run import StackRun
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackState


class MakeRun(Protocol):
    """Makes a run of an environment's stack. `program` declares what it applies; None for a run that only reads.

    `only`: the names of the resources that the program declares, when that is a part of the stack.
    """

    def __call__(
        self,
        stack: str,
        program: Callable[[], None] | None,
        *,
        quiet: bool = False,
        only: frozenset[str] | None = None,
    ) -> StackRun: ...


@dataclass(frozen=True)
class BucketRuns:
    """The bucket runs of one mesh."""

    mesh: str
    environments: Environments
    make_run: MakeRun

    def plan(self, deployment: Deployment) -> Plan:
        """What `up` would do. Raises: as `up`."""
        run, state, declared = self._run(deployment, quiet=True)
        steps = run.preview().steps
        lost = protection.lost_by_up(state, declared, steps)
        return plans.plan_of_buckets(declared, steps, state.deployment, lost)

    def up(self, deployment: Deployment) -> Plan:
        """Bring up the buckets alone. Everything else that is up stays as it is, and so does the protection of data.

        Raises: UsageError when the mesh has no buckets, or the environment is in another region or account;
        ProtectedDataError when a bucket with data would be replaced; and as `StackRun.up`.
        """
        run, state, declared = self._run(deployment)
        if protection.may_lose_buckets(state, declared):
            lost = self.plan(deployment).losses
            if lost:
                raise protection.refused_by_up(deployment.environment, lost)
        return plans.plan_of_buckets(declared, run.up().steps, state.deployment)

    def _run(self, deployment: Deployment, *, quiet: bool = False) -> tuple[StackRun, StackState, Deployment]:
        """The run, the stack's state before it, and the deployment whose buckets it declares."""
        if all(store.is_adopted for store in deployment.object_stores):  # a run of nothing would be one of everything
            raise UsageError(
                f"{self.mesh} has no object storage of its own in {deployment.environment}",
                hint=f"`meshctl up {deployment.environment}` brings up everything else",
            )
        state = self.make_run(deployment.environment, None).state()
        preconditions.check_object_storage(deployment, state, self.environments)
        declared = protection.with_deployed_protection(deployment, state)

        def program() -> None:
            run.run_check(run.refuse_newly_made)
            stacks.buckets.declare_alone(declared, state.outputs.written())

        only = stacks.buckets.names(deployment)
        run = self.make_run(deployment.environment, program, quiet=quiet, only=only)
        return run, state, declared
