"""Brings up the buckets of a deployment alone, to fill them before its workloads start. EDGE.

Made by `session`, for migrations and for the end of one. Whatever else is up stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import stacks.buckets
from meshctl.changes import Plan
from meshctl.deploy import plans
from meshctl.deploy.guards import preconditions, protection
from meshctl.engine.run import StackRun
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackState

Program = Callable[[], None]


class MakeRun(Protocol):
    """A run of an environment's stack, which declares nothing without a program. `only`: the resources it is about."""

    def __call__(
        self, stack: str, program: Program | None = None, *, quiet: bool = False, only: frozenset[str] | None = None
    ) -> StackRun: ...


@dataclass(frozen=True)
class ObjectStorage:
    """The buckets of one mesh's environments."""

    mesh: str
    environments: Environments
    run: MakeRun

    def plan(self, deployment: Deployment) -> Plan:
        """What `up` would do. Raises: as that."""
        run, state, declared = self._run_of(deployment, quiet=True)
        steps = run.preview().steps
        lost = protection.lost_by_up(state, declared, steps)
        return plans.of_buckets(declared, steps, state.deployment, lost)

    def up(self, deployment: Deployment) -> Plan:
        """What was protected stays so.

        Raises: UsageError where there are none, or the environment is in another region or account, ProtectedDataError
        where one that holds data would be replaced, and as `Session.up`.
        """
        run, state, declared = self._run_of(deployment, quiet=False)
        if protection.may_lose_buckets(state, declared):
            lost = self.plan(deployment).losses
            if lost:
                raise protection.refused_by_up(deployment.environment, lost)
        return plans.of_buckets(declared, run.up().steps, state.deployment)

    def _run_of(self, deployment: Deployment, *, quiet: bool) -> tuple[StackRun, StackState, Deployment]:
        """The run, the stack's state before it, and the deployment that it declares the buckets of."""
        if not deployment.object_stores:
            raise UsageError(
                f"{self.mesh} has no object storage",
                hint=f"`meshctl up {deployment.environment}` brings up the rest",
            )
        state = self.run(deployment.environment).state()
        preconditions.check_object_storage(deployment, state, self.environments)
        declared = protection.still_protected(deployment, state)

        def program() -> None:
            run.checked(run.refuse_unspared)
            stacks.buckets.declare_alone(declared, state.outputs.written())

        run = self.run(deployment.environment, program, quiet=quiet, only=stacks.buckets.names(deployment))
        return run, state, declared
