"""Takes an environment down: all of it, or all but the buckets that hold data; or forgets a cluster that is gone. EDGE.

Made by `session`, for `destroy`, for the end of a migration, and for `--forget-cluster`. Nothing that holds data goes
before somebody has agreed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from meshctl.changes.losses import Loss
from meshctl.changes.steps import subject_of
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.deploy import kubeconfig
from meshctl.deploy.guards import cluster_identity, preconditions, protection
from meshctl.engine.events import Recorder
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState


@dataclass(frozen=True)
class Teardown:
    """`folder` holds `.meshctl/`. `run` makes a run of an environment's stack that declares nothing. `drop_names`
    removes the endpoint names that point at an environment. `bring_up_buckets` brings up the buckets of a deployment
    alone."""

    folder: Path
    run: Callable[[str], StackRun]
    drop_names: Callable[[str], None]
    bring_up_buckets: Callable[[Deployment], object]

    def lost(self, environment: str, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
        """The data that `destroy` would lose; `keep_buckets`: that a `retire` would. Raises: UsageError as `destroy`
        does."""
        state = self.run(environment).state()
        preconditions.check_destroy(environment, state)
        return protection.lost_by_destroy(state, keep_buckets=keep_buckets)

    def destroy(self, environment: str, *, allow_data_loss: bool = False) -> Recorder:
        """Delete everything of the environment, and the names that point at it.

        Raises: ProtectedDataError when storage holds data and `allow_data_loss` is False, UsageError when the
        credentials are of another account or the kubeconfig leads to another cluster; nothing is touched then.
        """
        run = self.run(environment)
        state = run.state()
        preconditions.check_destroy(environment, state)
        lost = protection.lost_by_destroy(state)
        if lost and not allow_data_loss:
            raise protection.refused_by_destroy(environment, lost)
        self.drop_names(environment)
        record = self._destroy(run, state, lost)
        kubeconfig.remove_context(self.folder, environment)
        return record

    def retire(
        self,
        deployment: Deployment,
        *,
        keep_data: bool,
        allow_data_loss: bool = False,
        command: str = "meshctl migrations finish",
    ) -> None:
        """Destroy the environment, with the names that still point at it: those of endpoints that the mesh no longer
        has. `command`: what the user gave, for an error. With `keep_data`, buckets that hold data stay, in the stack
        too; file systems and volumes can't, as they stand on the network and in the cluster.

        They are let go by the destroy and taken back by name: the engine can't delete a cluster beside resources that
        it is to keep. Killed in between, the next `retire` finds those that the state no longer has by their tags.

        Raises: ProtectedDataError when data would be lost and `allow_data_loss` is False; nothing is touched then.
        """
        run = self.run(deployment.environment)
        preconditions.check_destroy(deployment.environment, run.state())
        state = run.settled()  # what a killed run was taking back is in the state then, and is kept like the rest
        held = protection.lost_by_destroy(state)
        lost = [loss for loss in held if not (keep_data and loss.kind == "bucket")]
        if lost and not allow_data_loss:
            raise protection.refused_by_retire(deployment.environment, lost, command)
        self.drop_names(deployment.environment)
        if keep_data:
            self._destroy_but_buckets(run, state, protection.buckets(held), deployment)
        else:
            self._destroy(run, state, held)
        kubeconfig.remove_context(self.folder, deployment.environment)

    def _destroy_but_buckets(
        self, run: StackRun, state: StackState, held: frozenset[str], deployment: Deployment
    ) -> None:
        kept = {subject_of(urn).removeprefix("storage/") for urn in held} | protection.orphaned_stores(
            deployment, state
        )
        if state.resources:
            run.retain(held)
            run.destroy()
        stores = tuple(store for store in deployment.object_stores if store.name in kept)
        if stores:
            self.bring_up_buckets(deployment.model_copy(update={"object_stores": stores}))

    def _destroy(self, run: StackRun, state: StackState, lost: Iterable[Loss]) -> Recorder:
        """Delete everything. Buckets with data are emptied once nothing in the cluster writes to them any more."""
        if any(resource.is_retained for resource in state.resources):
            run.retain(frozenset())  # marks of a retire that was cut off: what has one would stay, and count as gone
        run.empty_on_delete(protection.buckets(lost))
        return run.destroy(state=state) if state.resources else Recorder()

    def forget_cluster(self, environment: str, declared: ClusterAccess | None) -> None:
        """Drop from the state what is in a cluster that is gone for good. `declared`: the one that the file names.

        Raises: UsageError when there is nothing to forget, or the cluster is still there.
        """
        run = self.run(environment)
        there = cluster_identity.recorded_access(environment, run.state())
        cluster_identity.refuse_forgetting(there, environment, declared)
        run.rewrite(cluster_identity.without_cluster)
