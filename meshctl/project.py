"""One mesh with its environments: files, catalog and session, and environments resolved when asked for. EDGE.

Made by `cli.opened` for the commands that touch environments (`plan`, `up`, `destroy`, `status`, `migrate`), and given
to `migrate`. Importing it takes most of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from meshctl.catalog import Catalog, load_catalog
from meshctl.clients.aws import existing_file_systems
from meshctl.clients.kubernetes import clusters, existing_claims, hold_rights, other_pods
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.queues import kai_loans, kueue, loans
from meshctl.clients.weka import weka_operators, weka_rights
from meshctl.deploy.endpoints import running_endpoints
from meshctl.deploy.guards import preflight
from meshctl.deploy.guards.running.endpoints import access_default
from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.deploy.session import Session
from meshctl.engine import stack_locks
from meshctl.engine.state_store import StateStore, keeps_journals, open_state_store
from meshctl.errors import BusyError, CredentialsError, UnreachableError, UnreadableError
from meshctl.model import served_apis, shifts_now
from meshctl.model.deployment import Deployment, Elsewhere, Resolution
from meshctl.model.environment import Environments, PlatformEnvironment
from meshctl.model.keys import gateway_shares, lending
from meshctl.model.keys.neural_mesh import ENGINE
from meshctl.model.keys.one_workload import mesh_of_workload
from meshctl.model.mesh import Mesh, Workload
from meshctl.model.observed import NO_SHIFTS, Facts, ShiftsInForce
from meshctl.objects import object_access
from meshctl.platforms import registry
from meshctl.render.cluster.weka_operator import INSTALL
from meshctl.resolve import checked_name, resolve
from meshctl.resolve.data import weka_operator
from meshctl.resolve.placement import fabric_expectation
from meshctl.resolve.placement.machine_types import offerings
from meshctl.resolve.work import shifted_room, workloads

_NO_ANSWER = (BusyError, CredentialsError, UnreachableError)


@dataclass
class Project:
    """One mesh and its session. `on_stop` is called on Ctrl-C and the like, before the engine is told.

    From the journals, which are read above this layer: `expands_by_gateway`, whether an expansion by the gateway of an
    environment is open, and `notes_on_expansion`, what is to be said of an open one."""

    mesh: Mesh
    environments: Environments
    session: Session
    on_stop: list[Callable[[], None]] = field(default_factory=list)
    expands_by_gateway: Callable[[str], bool] = lambda _environment: True
    notes_on_expansion: Callable[[str], tuple[str, ...]] = lambda _environment: ()

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog()

    def checked_name(self, environment: str) -> str:
        """`environment`, if environments.yaml has it. Raises: as `resolve.checked_name`."""
        return checked_name(self.environments, environment)

    def checked_or_deployed_name(self, environment: str) -> str:
        """`environment`, if environments.yaml has it or its stack is up: to delete it, the state is enough.

        Raises: UsageError.
        """
        if environment not in self.environments.environments:
            unmanaged = self.session.unmanaged_stacks()
            if environment in {stack.environment for stack in unmanaged if stack.mesh == self.mesh.name}:
                return environment
        return self.checked_name(environment)

    def with_workload(self, name: str) -> Project:
        """The same project for the part of its mesh that this workload needs. Raises: UsageError."""
        return replace(self, mesh=mesh_of_workload(self.mesh, name))

    @property
    def state_store(self) -> StateStore | None:
        """The folder or bucket of the state, with journals and locks; None where there is neither (Pulumi Cloud)."""
        backend = self.environments.state.backend
        return open_state_store(backend, self.session.folder) if keeps_journals(backend) else None

    def running(self, environment: str) -> stack_locks.Holder | None:
        """The run that is changing the environment now; None also for Pulumi Cloud, which has no lock file."""
        store = self.state_store
        if store is None:
            return None
        paths = store.paths(stack_locks.folder_of(self.mesh.name, environment))
        return next(filter(None, (stack_locks.holder(_text_or_none(store, path)) for path in paths)), None)

    def resolution(self, environment: str) -> Resolution:
        """Resolve the mesh for an environment; for existing nodes, with the facts that their cluster reports."""
        declared = self.environments.environments[self.checked_name(environment)]
        platform = registry.platform(declared.provider)
        nodes_are_given = platform.nodes.made_of is None
        access = self.access(environment) if nodes_are_given else None
        shifts = self.session.shifts_in_force(environment)
        facts = shifts_now.at_home(self._facts(access, declared), shifts) if access is not None else None
        facts = self._with_existing_file_systems(environment, self._with_existing_claims(environment, facts))
        facts = self._with_rights_to_hold(environment, facts)
        remarks = facts.notes if facts is not None else ()
        if access is not None:
            remarks = (*remarks, *platform.words.notes(declared))
        self.session.remarks[environment] = remarks
        served = self._served_apis(environment, declared) if not nodes_are_given else ()
        resolution = self._with_what_is_open(environment, facts, served, shifts)
        self._add_remarks(environment, fabric_expectation.unjudged(resolution.pools))
        self._add_notes_on_loans(environment, resolution.deployment, facts)
        resolution = self._with_taken_names(resolution)
        return self._with_gateway_shares(self._with_weka_operator(resolution))

    def offline_resolution(self, environment: str) -> Resolution:
        """As `resolution`, without a look at the platform or the cluster."""
        shifts = self.session.shifts_in_force(self.checked_name(environment))
        return self._with_what_is_open(environment, None, (), shifts)

    def _with_what_is_open(
        self, environment: str, facts: Facts | None, served: Sequence[str], shifts: ShiftsInForce
    ) -> Resolution:
        """The resolution with what shifts have changed, and with notes on them and on an open expansion: that what has
        room on nodes that a shift has given to its pool will have none without them, and what both sides cost."""
        files = (self.mesh, self.environments, environment, self.catalog, facts)
        made = self.as_it_is_up(resolve(*files, served=served, shifts=shifts), facts, served, shifts)
        notes = (*shifts.notes, *self.notes_on_expansion(environment))
        if made.deployment is not None and any(shifts.gained_nodes(pool.name) for pool in made.pools):
            without = self.as_it_is_up(resolve(*files, served=served), facts, served)
            notes = (*notes, *shifted_room.notes(environment, without.gaps))
        self._add_remarks(environment, notes)
        return shifts_now.with_shifts(made.model_copy(update={"notes": (*made.notes, *notes)}), shifts)

    def _with_weka_operator(self, resolution: Resolution) -> Resolution:
        """The resolution in which it is decided who installs WEKA's operator; the state is read, and the cluster asked,
        only where the mesh has a NeuralMesh."""
        if resolution.deployment is None or resolution.deployment.neural_mesh is None:
            return resolution
        state = self.session.state(resolution.environment)
        up = pools_in_place.with_formed_storage(state)
        up_mesh = up.neural_mesh if up is not None else None
        is_ours = any(resource.name.startswith(INSTALL) for resource in state.resources)
        is_up = is_ours or up_mesh is not None
        is_theirs = None if is_up else self._has_weka_operator_of_another(resolution.environment)
        deployment = weka_operator.decided(resolution.deployment, up_mesh, is_ours=is_ours, is_theirs=is_theirs)
        lacking = () if is_up else self._lacking_for_weka(deployment)
        return weka_operator.with_findings(resolution, deployment, lacking, is_up=is_up)

    def _has_weka_operator_of_another(self, environment: str) -> bool | None:
        """As `weka_operators.is_of_another`; None where the cluster is not there yet, or does not answer."""
        access = self._cluster_that_is_there(environment)
        if access is None:
            return None
        with suppress(*_NO_ANSWER):
            return weka_operators.is_of_another(access, self.mesh.name)
        return None

    def _lacking_for_weka(self, deployment: Deployment) -> tuple[str, ...]:
        """What the user of a given cluster may not do; who makes a cluster is its administrator."""
        access, mesh = self.access(deployment.environment), deployment.neural_mesh
        if access is None or mesh is None:
            return ()
        is_tiered = any(system.tier for system in deployment.file_systems)
        return weka_rights.lacking(
            access,
            deployment.namespace,
            installs_operator=mesh.installs_operator,
            is_tiered=is_tiered,
            has_organization=mesh.organization is not None,
        )

    def _add_remarks(self, environment: str, notes: Iterable[str]) -> None:
        self.session.remarks[environment] = (*self.session.remarks.get(environment, ()), *notes)

    def _with_gateway_shares(self, resolution: Resolution) -> Resolution:
        """The resolution in which gateways lead to other environments what those that are up do."""
        deployment = resolution.deployment
        if deployment is None:
            return resolution
        with_shares = gateway_shares.with_shares(deployment, self.shares_in_force(deployment))
        return resolution.model_copy(update={"deployment": with_shares})

    def shares_in_force(self, deployment: Deployment) -> dict[str, Elsewhere]:
        """By endpoint, what the deployment's gateways are to lead to another environment: as those that are up, since
        only the steps of an expansion change that; nothing once the expansion has ended. The state is read only where
        there are gateways. Raises: as `Session.state` and `expands_by_gateway`."""
        if not any(map(gateway_shares.has_gateway, deployment.endpoints)):
            return {}
        shares = gateway_shares.shares_up(deployment, self.session.state(deployment.environment).deployment)
        return shares if shares and self.expands_by_gateway(deployment.environment) else {}

    def _add_notes_on_loans(self, environment: str, deployment: Deployment | None, facts: Facts | None) -> None:
        """What others count of the nodes that are lent; the cluster is asked only where some are."""
        is_lending = deployment is not None and bool(lending.kueue_pools(deployment))
        access = self._cluster_that_is_there(environment) if is_lending else None
        if deployment is not None and access is not None:
            try:
                notes = loans.other_queues(access, deployment, facts.nodes if facts is not None else ())
            except _NO_ANSWER as error:
                notes = (f"not checked: whether queues of others count the lent nodes, too ({error.what})",)
            self._add_remarks(environment, notes)

    def _with_taken_names(self, resolution: Resolution) -> Resolution:
        """The resolution with gaps if somebody else has queues of KAI Scheduler with the names of the mesh's queues."""
        deployment = resolution.deployment
        access = self.access(resolution.environment) if deployment is not None and deployment.kai is not None else None
        if deployment is None or access is None:
            return resolution
        taken = kai_loans.taken_names(access, deployment)
        self._add_remarks(resolution.environment, taken.notes)
        gaps = (*resolution.gaps, *taken.gaps)
        return resolution.model_copy(update={"deployment": None, "gaps": gaps}) if taken.gaps else resolution

    def as_it_is_up(
        self,
        resolution: Resolution,
        facts: Facts | None = None,
        served: Sequence[str] = (),
        shifts: ShiftsInForce = NO_SHIFTS,
    ) -> Resolution:
        """The resolution in which what is up stays, though the catalog would not take it now, or a NeuralMesh would be
        laid out otherwise now. The state is read only where it could make a difference. `facts`, `served`, `shifts`: as
        the resolution was made with."""
        has_neural_mesh = any(storage.engine == ENGINE for storage in self.mesh.storage.values())
        if not has_neural_mesh and not offerings.depends_on_what_is_up(resolution):
            return resolution
        state = self.session.state(resolution.environment)
        up = pools_in_place.with_formed_storage(state)
        if up is None:
            return resolution
        up = up.model_copy(update={"pools": pools_in_place.in_place(state).pools})
        files = (self.mesh, self.environments, resolution.environment, self.catalog, facts)
        return resolve(*files, served=served, up=up, shifts=shifts)

    def _served_apis(self, environment: str, declared: PlatformEnvironment) -> tuple[str, ...]:
        """What a cluster serves in which nodes are made; it is asked only if the mesh has pools that lend nodes, groups
        of pods, or, where the cluster is somebody else's, metrics or replicas that follow load; and, where it is our
        own, for queues of Kueue."""
        has_groups = any(workloads.nodes_per_replica(each) > 1 for each in self.mesh.workloads.values())
        needs_controllers = has_groups or any(pool.lend is not None for pool in self.mesh.pools.values())
        if registry.platform(declared.provider).cluster.made is not None:
            has_queues = any(override.queue for override in declared.workloads.values())
            return self._served_by_own_cluster(environment) if needs_controllers or has_queues else ()
        is_measured = any(each.metrics is not None or each.scale is not None for each in self.mesh.workloads.values())
        access = self.access(environment) if needs_controllers or is_measured else None
        return clusters.served(access, served_apis.asked_for(declared)) if access is not None else ()

    def _served_by_own_cluster(self, environment: str) -> tuple[str, ...]:
        """Which controllers somebody has installed in the cluster that meshctl has made; none before it is there. Where
        it does not answer, those that what is up relies on: that a cluster is silent takes nothing from it."""
        up = self.session.state(environment).deployment
        if up is None:
            return ()
        access = self._cluster_that_is_there(environment)
        try:
            served = clusters.served(access) if access is not None else served_apis.relied_on(up)
        except _NO_ANSWER:
            served = served_apis.relied_on(up)
        return tuple(name for name in served if name in served_apis.CONTROLLERS)

    def _facts(self, access: ClusterAccess, declared: PlatformEnvironment) -> Facts:
        facts = clusters.facts(access, served_apis.asked_for(declared))
        facts = other_pods.counted(facts, access, self.mesh.name)
        queues = {override.queue for override in declared.workloads.values() if override.queue}
        return kueue.with_queues(facts, access, self.mesh.name, queues)

    def _with_rights_to_hold(self, environment: str, facts: Facts | None) -> Facts | None:
        """The facts with what the user of a given cluster lacks to have gangs held; asked only if the mesh has some."""
        access = self.access(environment) if any(map(self._is_gang, self.mesh.workloads.values())) else None
        lacking = hold_rights.lacking(access, self.mesh.name) if access is not None else ()
        return (facts or Facts()).model_copy(update={"lacks_for_hold": lacking}) if lacking else facts

    def _is_gang(self, workload: Workload) -> bool:
        is_training = workload.kind == "training" and workloads.replicas_of(self.mesh, workload) > 1
        return is_training or workloads.nodes_per_replica(workload) > 1

    def _with_existing_claims(self, environment: str, facts: Facts | None) -> Facts | None:
        """The facts with the claims that the environment adopts; the cluster is asked only where it adopts some."""
        storage = self.environments.environments[environment].storage
        names = frozenset(existing.claim for existing in storage.values() if existing.claim is not None)
        access = self.access(environment) if names else None
        return existing_claims.added(facts or Facts(), access, self.mesh.name, names) if access is not None else facts

    def _with_existing_file_systems(self, environment: str, facts: Facts | None) -> Facts | None:
        """The facts with the file systems that the environment adopts by their ids, where they have some."""
        declared = self.environments.environments[environment]
        ids = frozenset(each.file_system for each in declared.storage.values() if each.file_system is not None)
        made = registry.platform(declared.provider).cluster.made
        if not ids or made is None or not declared.has_file_system_ids:
            return facts
        observed = existing_file_systems.observed(made.profile(declared), declared.region or "", ids)
        return (facts or Facts()).model_copy(update={"file_systems": observed})

    def online_resolution(self, environment: str) -> Resolution:
        """As `resolution`, after the platform was asked whether it has what an `up` would add.

        Raises: as `resolution` and `Session.state`.
        """
        resolution = self.resolution(environment)
        if resolution.deployment is None:
            return resolution
        if registry.platform(resolution.deployment.provider).preflight is None:
            return resolution
        in_place = pools_in_place.in_place(self.session.state(environment))
        findings = preflight.ask(resolution.deployment, in_place).of_a_plan()
        placed = findings.placed(resolution.deployment)
        return resolution.model_copy(
            update={
                "deployment": None if findings.gaps else placed,
                "gaps": (*resolution.gaps, *findings.gaps),
                "pools": placed.pools,
                "notes": (*resolution.notes, *findings.notes),
            }
        )

    def access(self, environment: str) -> ClusterAccess | None:
        """The existing cluster that environments.yaml names; None where meshctl makes it, and where it names none."""
        declared = self.environments.environments.get(environment)
        kubernetes = registry.platform(declared.provider).cluster.kubeconfig(declared) if declared else None
        if kubernetes is None:
            return None
        return ClusterAccess(environment, kubernetes.kubeconfig or "", kubernetes.context or "")

    def _cluster_that_is_there(self, environment: str) -> ClusterAccess | None:
        """The existing cluster, or the one that meshctl has made; None before it is there."""
        access = self.access(environment)
        if access is not None:
            return access
        state = self.session.state(environment)
        if state.deployment is None or not state.outputs.kubeconfig:
            return None
        return clusters.access(state.deployment, state.outputs)

    def deployment(self, environment: str, *, moved_from: Deployment | None = None) -> Deployment:
        """`moved_from`: what is deployed at the source of a migration, whose endpoints stay as reachable as they are.

        Raises: InfeasibleError with every gap, and as `Session.check_cluster`, since another cluster may be the
        cause of the gaps; UsageError as `access_default.decided`.
        """
        resolution = self.resolution(environment)
        if resolution.deployment is None:
            access = self.access(environment)
            if access is not None:
                self.session.check_cluster(access)
            raise preflight.infeasible(environment, resolution.gaps)
        return self._with_access(self._with_local_facts(resolution.deployment), moved_from)

    def _with_access(self, deployment: Deployment, moved_from: Deployment | None) -> Deployment:
        """The deployment in which it is decided who reaches each endpoint. What is up is read only where the mesh does
        not say it."""
        undecided = access_default.undecided(deployment)
        if not undecided:
            return deployment
        running = running_endpoints.RunningEndpoints(self.session, deployment, moved_from)
        by_name = {endpoint.name: running.find(endpoint) for endpoint in undecided}
        decided = access_default.decided(deployment, by_name)
        notes = access_default.notes(decided, by_name)
        self._add_remarks(deployment.environment, notes)
        return decided

    def _with_local_facts(self, deployment: Deployment) -> Deployment:
        """The deployment with facts of this machine and of the state: endpoints of AWS profiles, names of buckets.

        Raises: CredentialsError, UsageError as `object_access.with_endpoints` does.
        """
        declared = self.environments.environments.get(deployment.environment)
        cluster = registry.platform(deployment.provider).cluster.made
        deployment = object_access.with_endpoints(deployment)
        same_provider = declared is not None and declared.provider == deployment.provider
        if cluster is None or not same_provider or not cluster.account(declared):
            return deployment  # bucket names don't depend on the account, so they are the resolved ones
        return object_access.with_saved_names(deployment, self.session.state(deployment.environment))


def _text_or_none(store: StateStore, path: str) -> str | None:
    """The text of a lock; None when it is being written or damaged."""
    try:
        return store.read(path)
    except UnreadableError:
        return None
