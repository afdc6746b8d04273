"""A mesh opened for work: files read, catalog loaded, session made; environments resolved when asked for. EDGE.

Used by the commands that touch environments (`plan`, `up`, `destroy`, `status`, `migrate`). Kept apart from `context`,
which every command imports: what is imported here takes most of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from meshctl.catalog import Catalog, load_catalog
from meshctl.cli import signals
from meshctl.cli.context import Context
from meshctl.engine import clusters, stack_locks
from meshctl.engine.cluster_access import ClusterAccess
from meshctl.engine.session import Session
from meshctl.errors import InfeasibleError, UnreadableError
from meshctl.migrate import guard
from meshctl.migrate.activity import NotSeen, Seen
from meshctl.migrate.state_store import StateStore, keeps_journals, open_state_store
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.platforms import registry
from meshctl.resolve import known, resolve


@dataclass
class Opened:
    """One mesh and its session. `on_stop` is called on Ctrl-C and the like, before the engine is told."""

    mesh: Mesh
    environments: Environments
    session: Session
    on_stop: list[Callable[[], None]] = field(default_factory=list)

    @cached_property
    def catalog(self) -> Catalog:
        return load_catalog()

    def known(self, environment: str) -> str:
        """The name, if environments.yaml has it. Raises: UsageError, with the nearest name."""
        return known(self.environments, environment)

    def known_or_up(self, environment: str) -> str:
        """The name, also of an environment that the file has no more: its state alone says how to delete it.

        Raises: UsageError.
        """
        if environment not in self.environments.environments:
            stacks = {other.environment for other in self.session.others() if other.mesh == self.mesh.name}
            if environment in stacks:
                return environment
        return self.known(environment)

    def open_migration(self) -> Seen | None:
        """This mesh's migration that is neither finished nor rolled back.

        Raises: NewerVersionError, UnreadableError.
        """
        store = self._journals()
        return guard.open_migration(store, self.mesh.name) if store is not None else None

    def last_open_migration(self) -> Seen | NotSeen | None:
        """As `open_migration`, but a journal that can't be read is no error."""
        store = self._journals()
        return guard.last_open(store, self.mesh.name) if store is not None else None

    def _journals(self) -> StateStore | None:
        backend = self.environments.state.backend
        return open_state_store(backend, self.session.folder) if keeps_journals(backend) else None

    def running(self, environment: str) -> stack_locks.Holder | None:
        """Who is changing the environment at the moment; None also where the backend can't be asked (Pulumi Cloud)."""
        backend = self.environments.state.backend
        if not keeps_journals(backend):
            return None
        store = open_state_store(backend, self.session.folder)
        paths = store.paths(stack_locks.folder_of(self.mesh.name, environment))
        return next(filter(None, (stack_locks.holder(_text_or_none(store, path)) for path in paths)), None)

    def refuse_if_moving(self, environment: str, command: Literal["up", "destroy", "restart"]) -> None:
        """Raises: LockedError when an open migration has the environment in its hands."""
        found = self.open_migration()
        if found is not None:
            guard.refuse(*found, environment, command)

    def resolution(self, environment: str) -> Resolution:
        """Resolve with the facts of an existing cluster where its nodes are given, not made."""
        declared = self.environments.environments[self.known(environment)]
        nodes_are_given = registry.platform(declared.provider).nodes.made_of is None
        access = self.access(environment) if nodes_are_given else None
        facts = clusters.facts(access) if access is not None else None
        return resolve(self.mesh, self.environments, environment, self.catalog, facts)

    def access(self, environment: str) -> ClusterAccess | None:
        """The existing cluster that environments.yaml names; None where meshctl makes it, and where it names none."""
        declared = self.environments.environments.get(environment)
        kubernetes = registry.platform(declared.provider).cluster.kubeconfig(declared) if declared else None
        if kubernetes is None:
            return None
        return ClusterAccess(environment, kubernetes.kubeconfig or "", kubernetes.context or "")

    def deployment(self, environment: str) -> Deployment:
        """Raises: InfeasibleError with every gap; as `Session.check_cluster` where the gaps are another cluster's."""
        resolution = self.resolution(environment)
        if resolution.deployment is None:
            access = self.access(environment)
            if access is not None:
                self.session.check_cluster(access)
            gaps = resolution.gaps
            first = gaps[0]
            more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
            raise InfeasibleError(
                f"{environment} can't carry the mesh: {first.subject} wants {first.wanted}; best: {first.best}{more}",
                gaps=gaps,
                why="; ".join(f"{gap.subject}: {gap.wanted}" for gap in gaps[1:4]),
                hint=first.hint,
            )
        return self.session.settled(resolution.deployment)


def _text_or_none(store: StateStore, path: str) -> str | None:
    """A lock that is no text is being written, or damaged: it tells of nobody."""
    try:
        return store.read(path)
    except UnreadableError:
        return None


@contextmanager
def opened(context: Context, command: str, *, break_lock: bool = False) -> Iterator[Opened]:
    """The mesh, with Ctrl-C and the like handed to the engine as long as the block runs. `command`: the user's."""
    mesh, environments = context.load()
    session = Session(context.folder, mesh.name, environments, context.progress(), break_lock, command)
    found = Opened(mesh, environments, session)
    with signals.finishing(session.program, found.on_stop):
        yield found
