"""Takes an environment down: all of it, or all but the buckets that hold data. Also forgets a cluster that is gone.
EDGE.

Made by `session`, for `destroy`, for the end of a migration, and for `--forget-cluster`. Nothing that holds data is
deleted before the user has agreed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from meshctl.changes.losses import Loss
from meshctl.changes.steps import subject_of
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy import kubeconfig
from meshctl.deploy.ends import group_ends, volumes_of_pods, weka_ends
from meshctl.deploy.guards import (
    cluster_identity,
    deleted_entries,
    namespaces,
    preconditions,
    protection,
    shared_proofs,
)
from meshctl.engine.events import OnProgress, Recorder
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState


@dataclass(frozen=True)
class Teardown:
    """`folder` holds `.meshctl/`. `make_run` makes a run of an environment's stack that declares nothing.
    `drop_dns_records` removes the DNS records that point at an environment. `bring_up_buckets` brings up the buckets of
    a deployment alone. `other_states`: those of all other environments of the mesh; called only where it matters."""

    folder: Path
    make_run: Callable[[str], StackRun]
    drop_dns_records: Callable[[str], None]
    bring_up_buckets: Callable[[Deployment], object]
    other_states: Callable[[str], list[StackState]] = lambda _environment: []
    on_progress: OnProgress | None = None

    def lost(self, environment: str, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
        """The data that `destroy` would lose; with `keep_buckets`, the data that `destroy_keeping_data` would lose.

        Raises: UsageError as `destroy` does.
        """
        state = self.make_run(environment).state()
        preconditions.check_destroy(environment, state)
        return protection.lost_by_destroy(state, keep_buckets=keep_buckets)

    def destroy(self, environment: str, *, allow_data_loss: bool = False) -> Recorder:
        """Delete everything of the environment, and the DNS records that point at it.

        Raises: ProtectedDataError when storage holds data and `allow_data_loss` is False, UsageError when the
        credentials are of another account or the kubeconfig leads to another cluster; nothing is changed then.
        """
        run = self.make_run(environment)
        state = run.state()
        deleted_entries.recreate_deleted_entries(environment, state, self.on_progress)
        preconditions.check_destroy(environment, state)
        lost = protection.lost_by_destroy(state)
        if lost and not allow_data_loss:
            raise protection.refused_by_destroy(environment, lost)
        self.drop_dns_records(environment)
        record = self._delete_everything(run, state, lost, environment)
        kubeconfig.remove_context(self.folder, environment)
        return record

    def destroy_keeping_data(self, deployment: Deployment, *, allow_data_loss: bool, command: str) -> None:
        """Destroy an environment that a migration leaves, but keep its buckets that hold data, in its stack too.

        File systems and volumes can't be kept, because they need the network and the cluster. DNS records that still
        point at the environment, those of endpoints that the mesh no longer has, are removed. `command`: the user's,
        for an error.

        Kept buckets are dropped from the state (retainOnDelete) and re-imported by name afterwards, because Pulumi
        cannot delete a cluster while other resources of the stack must stay. If a run is killed in between, the next
        one finds the dropped buckets by their tags.

        Raises: ProtectedDataError when other data would be lost and `allow_data_loss` is False; nothing is changed
        then.
        """
        run, state, losses = self._read_before_destroy(deployment)
        lost = [loss for loss in losses if loss.kind != "bucket"]
        if lost and not allow_data_loss:
            raise protection.refused_by_migration_destroy(deployment.environment, lost, command)
        self.drop_dns_records(deployment.environment)
        self._delete_all_but_buckets(run, state, protection.bucket_urns(losses), deployment)
        kubeconfig.remove_context(self.folder, deployment.environment)

    def destroy_with_data(self, deployment: Deployment, *, allow_data_loss: bool, command: str) -> None:
        """As `destroy_keeping_data`, but the buckets are deleted with their data, too.

        Raises: ProtectedDataError when any data would be lost and `allow_data_loss` is False; nothing is changed then.
        """
        run, state, losses = self._read_before_destroy(deployment)
        if losses and not allow_data_loss:
            raise protection.refused_by_migration_destroy(deployment.environment, losses, command)
        self.drop_dns_records(deployment.environment)
        self._delete_everything(run, state, losses, deployment.environment)
        kubeconfig.remove_context(self.folder, deployment.environment)

    def _read_before_destroy(self, deployment: Deployment) -> tuple[StackRun, StackState, tuple[Loss, ...]]:
        """The run, the state and the data at risk. Buckets that a killed run was re-importing are in the state then."""
        run = self.make_run(deployment.environment)
        recorded = run.state()
        deleted_entries.recreate_deleted_entries(deployment.environment, recorded, self.on_progress)
        preconditions.check_destroy(deployment.environment, recorded)
        state = run.recovered_state()
        return run, state, protection.lost_by_destroy(state)

    def _delete_all_but_buckets(
        self, run: StackRun, state: StackState, bucket_urns: frozenset[str], deployment: Deployment
    ) -> None:
        urns = bucket_urns | namespaces.retained(state) | self._shared_proofs(state, deployment.environment)
        in_state = {subject_of(urn).removeprefix("storage/") for urn in bucket_urns}
        names = in_state | protection.orphaned_stores(deployment, state)
        if state.resources:
            claims = volumes_of_pods.left_by_destroy(state)
            run.retain(urns)
            _let_groups_end_together(run, state)
            weka_ends.end_at_once(state)
            run.destroy()
            volumes_of_pods.delete_left(state, claims)
        stores = tuple(store for store in deployment.object_stores if store.name in names)
        if stores:
            self.bring_up_buckets(deployment.model_copy(update={"object_stores": stores}))

    def _delete_everything(self, run: StackRun, state: StackState, lost: Iterable[Loss], environment: str) -> Recorder:
        """Delete all resources. Buckets with data are emptied once nothing in the cluster writes to them any more."""
        shared = self._shared_proofs(state, environment)
        staying = namespaces.retained(state) | shared
        if shared or any(resource.is_retained and resource.urn not in staying for resource in state.resources):
            # An interrupted `destroy_keeping_data` left resources marked with retainOnDelete: they would stay.
            run.retain(staying)
        run.empty_on_delete(protection.bucket_urns(lost))
        if not state.resources:
            return Recorder()
        claims = volumes_of_pods.left_by_destroy(state)
        _let_groups_end_together(run, state)
        weka_ends.end_at_once(state)
        record = run.destroy(state=state)
        volumes_of_pods.delete_left(state, claims)
        return record

    def _shared_proofs(self, state: StackState, environment: str) -> frozenset[str]:
        """Records by which hosts are proven to other environments, too."""
        records = shared_proofs.going(state, None)
        return shared_proofs.of_others(records, self.other_states(environment)) if records else frozenset()

    def forget_cluster(self, environment: str, declared: ClusterAccess | None) -> None:
        """Drop everything in a cluster that is gone for good from the state. `declared`: the cluster that
        environments.yaml names.

        Raises: UsageError when the state has nothing in an existing cluster, or the cluster still exists.
        """
        run = self.make_run(environment)
        recorded = cluster_identity.recorded_access(environment, run.state())
        cluster_identity.refuse_forgetting(recorded, environment, declared)
        run.rewrite(cluster_identity.without_cluster)


def _let_groups_end_together(run: StackRun, state: StackState) -> None:
    if group_ends.without_set_order(state) is not state:
        run.rewrite(group_ends.without_set_order)
