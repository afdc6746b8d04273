"""The operations of the CLI on shifts: plan, start, go on, undo. EDGE.

A `Shifts` object is made for one environment and one command. Every operation that changes something holds the lock
that migrations hold, too. Every error that stops a shift names the commands with which the user can go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile

from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError, MeshError, ShiftError, UsageError
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.guard import open_migration
from meshctl.migrate.journal.history import History as MigrationHistory
from meshctl.migrate.journal.journal import Journal, migrations, open_journal
from meshctl.migrate.progress import Event, Report
from meshctl.model.deployment import Deployment
from meshctl.objects.progress import Stop
from meshctl.shift import in_force, views
from meshctl.shift.gateway import GONE, Gateway, Pod
from meshctl.shift.history import FORWARD, SHIFT, History
from meshctl.shift.in_force import ShiftStatus
from meshctl.shift.planning import pods, room
from meshctl.shift.planning.gangs import NO_GANGS, Gangs
from meshctl.shift.planning.plan import Request, ShiftPlan, plan_shift
from meshctl.shift.planning.room import Shortage
from meshctl.shift.steps.runner import Runner


def _has(migration: MigrationHistory, environment: str) -> bool:
    """Whether the migration works on the environment. The source of an expansion goes on as before it."""
    source, target = migration.plan.source.environment, migration.plan.target.environment
    is_expanded = migration.share is not None and migration.state == "waiting"
    return environment == target or (environment == source and not is_expanded)


def _no_report(_event: Event) -> None:
    return None


@dataclass
class Shifts:
    """The shifts of one environment. `deployment`: what is up there."""

    deployment: Deployment
    gateway: Gateway
    store: StateStore
    report: Report = _no_report
    stop: Stop = field(default_factory=Stop)
    break_lock: bool = False

    @property
    def mesh(self) -> str:
        return self.deployment.mesh

    @property
    def environment(self) -> str:
        return self.deployment.environment

    def open(self) -> list[ShiftStatus]:
        """As `in_force.open_shifts`, of this environment."""
        return in_force.open_shifts(self.store, self.mesh, self.environment)

    def under_way(self) -> ShiftStatus | None:
        """The shift that has to be completed or undone before another one can begin."""
        return next((status for status in self.open() if status.history.is_under_way), None)

    def due(self) -> list[ShiftStatus]:
        """The shifts in force whose `--until` is over, newest first. One below a newer one goes back after that."""
        now = self.gateway.now()
        return list(takewhile(lambda status: 0 < status.history.plan.until_s <= now, reversed(self.open())))

    def plan(self, request: Request) -> ShiftPlan:
        """Changes nothing. Raises: UsageError, ShiftError for a pod that may not be evicted, LockedError."""
        self._refuse_others()
        if 0 < request.until_s <= self.gateway.now():
            hint = f"it is {views.time_text(self.gateway.now())}: name a time to come, or leave it out and use --undo"
            raise UsageError("--until is in the past", hint=hint)
        nodes = self.gateway.nodes()
        own_labels = self.deployment.node_labels(request.giving).items()
        names = [pods.name(node) for node in nodes if own_labels <= pods.labels(node).items()]
        on_nodes = self.gateway.pods_on(names)
        plan = plan_shift(self._with_live_gangs(), request, nodes, on_nodes, len(self._waiting(request.taking)))
        self._try_evictions(plan)
        stopped = Gangs(plan.restarting, plan.resized, plan.waiting)
        self._refuse_without_room(plan.giving, plan.nodes, stopped, or_else="choose fewer nodes with --nodes, or ")
        return plan

    def _with_live_gangs(self) -> Deployment:
        """What is up, with the gangs as small as shifts that are in force have made them."""
        live = {w.name: self.gateway.gang(w.name) for w in self.deployment.workloads if w.is_elastic}
        return self.deployment.with_ranks({name: gang.nodes for name, gang in live.items() if gang and gang.nodes})

    def _waiting(self, pool: str) -> list[Pod]:
        """The pods of the pool that have no node yet."""
        workloads = {workload.name for workload in self.deployment.workloads if workload.pool == pool}
        own = [pod for pod in self.gateway.pods_of_mesh() if pods.workload(pod) in workloads]
        return [pod for pod in own if not (pods.node_of(pod) or pods.has_ended(pod) or pods.is_stopping(pod))]

    def _try_evictions(self, plan: ShiftPlan) -> None:
        """Dry-runs the evictions, so that a shift that a disruption budget forbids is not begun. Raises: ShiftError."""
        refused = []
        suspended = {*plan.waiting, *(each.workload for each in plan.resized)}
        for pod in pods.to_move(self.gateway.pods_on(plan.nodes), plan.namespace):
            if pods.workload(pod) in suspended or pods.is_stopping(pod):
                continue
            why = self.gateway.evict(pods.namespace(pod), pods.name(pod), pods.uid(pod), dry_run=True)
            if why and why != GONE:
                refused.append(f"{pods.name(pod)} on {pods.node_of(pod)}: {why}")
        if refused:
            raise ShiftError(
                f"{'; '.join(refused)}",
                why="the cluster does not allow these pods to be evicted now; nothing was changed",
                hint=f"`kubectl get pdb -n {plan.namespace}` shows the budgets: repeat the command when they allow it,"
                " or give the workload more replicas",
            )

    def _refuse_without_room(
        self, pool: str, nodes: Collection[str], stopped: Gangs = NO_GANGS, *, begun: bool = False, or_else: str = ""
    ) -> None:
        """`nodes`: those that the pool is to lose. `begun`: whether they are cordoned by now. `or_else`: another way
        out, for the hint. Raises: ShiftError where more pods would find no room on its other nodes than a disruption
        budget lets be missing: the nodes would never become empty."""
        shortages = self._shortages(pool, nodes, stopped)
        if not shortages:
            return
        texts = [
            f"{each.fitting} of {each.replicas} replicas of {each.workload.name} have room there, and its disruption"
            f" budget lets {each.allowed} be missing"
            for each in shortages
        ]
        numbers = ", ".join(f"{each.workload.name} to {each.fitting}" for each in shortages)
        in_mesh = f", or in mesh.yaml (`replicas` or its `max`) and `meshctl up {self.environment}`"
        raise ShiftError(
            f"{', '.join(sorted(nodes))} would not become empty: the other nodes of pool {pool} have too little room",
            why="; ".join(texts) + ("" if begun else "; nothing was changed"),
            hint=f"{or_else}scale {numbers} first, with `kubectl scale`{'' if begun else in_mesh}",
        )

    def _shortages(self, pool: str, leaving: Collection[str], stopped: Gangs) -> list[Shortage]:
        declared = next((each for each in self.deployment.pools if each.name == pool), None)
        budgets = self.gateway.budgets() if declared is not None and leaving else []
        if declared is None or not budgets:
            return []
        labels = self.deployment.node_labels(pool).items()
        nodes = [node for node in self.gateway.nodes() if labels <= pods.labels(node).items()]
        on_nodes = [pod for pod in self.gateway.pods_on([*map(pods.name, nodes)]) if not pods.is_stopping(pod)]
        moving = [p for p in pods.to_move(on_nodes, self.deployment.namespace) if pods.node_of(p) in leaving]
        others = [n for n in nodes if pods.name(n) not in leaving and pods.is_ready(n) and not pods.is_cordoned(n)]
        rest = [room.load(self.deployment, node, on_nodes) for node in others]
        missing = room.without_room(self.deployment, declared, [*moving, *self._waiting(pool)], rest, stopped)
        return list(room.shortages(self.deployment, missing, moving, budgets))

    def _refuse_others(self) -> None:
        """Raises: LockedError while a migration has the environment, an `up` or roll-out is at work, or another shift
        is under way."""
        in_force.refuse_while_under_way(self.open(), "shift")
        self._refuse_changes()

    def _refuse_changes(self, pool: str = "") -> None:
        """`pool`: where only its pods are to move, roll-outs of other workloads disturb nobody, and may wait for the
        very nodes that go back. Raises: LockedError while a migration has the environment, or an `up` or a roll-out is
        at work."""
        migration = open_migration(self.store, self.mesh)
        if migration is not None and _has(migration.history, self.environment):
            raise LockedError(
                f"{self.environment} is part of migration {migration.migration}",
                why="a migration stops and starts the pods that a shift would move",
                hint=f"`meshctl migrations show {migration.migration}` shows how it ends",
            )
        workloads = [each.name for each in self.deployment.workloads if each.pool == pool]
        changed_by = self.gateway.changed_by(workloads if pool else None)
        if changed_by:
            raise LockedError(
                f"{self.environment} is being changed: {changed_by}",
                why="a shift would move pods that are about to be replaced",
                hint="wait until that has ended, and run the command again",
            )

    def start(self, plan: ShiftPlan) -> History:
        """Do all steps. Raises: LockedError, ShiftError, NotReadyError, and the errors of the cluster."""
        with self._locked() as lease:
            self._refuse_others()
            self._refuse_if_elsewhere(plan)
            shift = self._new_id(f"{plan.environment}-{plan.giving}-{plan.taking}")
            journal = Journal(self.store, self.mesh, shift, str(lease.owner), of=SHIFT)
            journal.add("shift", "begin", self.gateway.now(), {"plan": plan.model_dump(mode="json")})
            return self._run(journal)

    def _refuse_if_elsewhere(self, plan: ShiftPlan) -> None:
        """Raises: LockedError where a node of the plan has left the pool while a person was asked: the undo would put
        back what somebody else has made of it."""
        own_labels = self.deployment.node_labels(plan.giving).items()
        nodes = [node for node in map(self.gateway.node, plan.nodes) if node is not None]
        elsewhere = [pods.name(node) for node in nodes if not own_labels <= pods.labels(node).items()]
        if elsewhere:
            raise LockedError(
                f"{', '.join(elsewhere)} no longer belong{'s' * (len(elsewhere) == 1)} to pool {plan.giving}",
                why="another shift or somebody else has changed the labels since the nodes were chosen",
                hint="run the command again: it chooses other nodes",
            )

    def resume(self, timeout_s: int = 0) -> History:
        """Go on with the shift that is under way, in its direction. Where none is, give the nodes of the newest shift
        that have lost its labels to the other pool again. `timeout_s`: how long nodes may take to become empty in this
        run, 0 = as the plan says. Raises: UsageError where there is nothing to do."""
        with self._locked() as lease:
            status = self.under_way()
            if status is not None:
                self._refuse_before_it_goes_on(status.history)
                return self._run(self._journal(status.shift, str(lease.owner)), timeout_s)
            newest = next(reversed(self.open()), None)
            lost = self._nodes_without_labels(newest.history.plan) if newest is not None else []
            if newest is None or not lost:
                raise UsageError(
                    f"no shift of {self.environment} is under way",
                    hint=f"`meshctl status {self.environment}` shows the shifts in force",
                )
            self._refuse_changes()
            journal = self._journal(newest.shift, str(lease.owner))
            what = f"{', '.join(lost)} no longer carried the labels of pool {newest.history.plan.taking}"
            data = {"code": ShiftError.code, "what": what, "again": self._again(newest.history.plan, lost)}
            journal.add("hand-over", "failed", self.gateway.now(), data)
            return self._run(journal, timeout_s)

    def _again(self, plan: ShiftPlan, lost: list[str]) -> list[str]:
        """The steps that give nodes to the other pool once more. A gang that runs elsewhere by now is left alone."""
        left = pods.to_move(self.gateway.pods_on(lost), plan.namespace)
        has_gang = any(pods.workload(pod) in plan.gangs for pod in left)
        return [step for step in FORWARD if step != "checkpoint" or has_gang]

    def _nodes_without_labels(self, plan: ShiftPlan) -> list[str]:
        """Those of a shift in force that were replaced, or set back by somebody else. Raises: ShiftError where another
        mesh has taken one."""
        nodes = [node for node in map(self.gateway.node, plan.nodes) if node is not None]
        taken = {pods.name(node): mesh for node in nodes if (mesh := pods.other_mesh(node, plan.mesh))}
        if taken:
            raise ShiftError(
                "; ".join(f"{name} belongs to mesh {mesh} now" for name, mesh in sorted(taken.items())),
                why="its label says so, and a node serves one mesh",
                hint=f"`meshctl shift {self.environment} --undo` ends the shift, and leaves that node out",
            )
        return [pods.name(node) for node in nodes if not plan.labels.items() <= pods.labels(node).items()]

    def undo(self, timeout_s: int = 0) -> History:
        """Give the nodes of the newest shift back, wherever it stopped. `timeout_s`: as for `resume`.

        Raises: UsageError where there is none; LockedError, ShiftError before anything is changed."""
        with self._locked() as lease:
            statuses = self.open()
            if not statuses:
                raise UsageError(f"no shift of {self.environment} is in force", hint="there is nothing to undo")
            status = next((each for each in statuses if each.history.is_under_way), statuses[-1])
            self._refuse_before_undo(status.history)
            journal = self._journal(status.shift, str(lease.owner))
            if status.history.direction != "rollback":
                journal.add("shift", "direction", self.gateway.now(), {"to": "rollback"})
            return self._run(journal, timeout_s)

    def _refuse_before_it_goes_on(self, history: History) -> None:
        if history.direction == "rollback":
            self._refuse_before_undo(history)
        else:
            self._refuse_changes()

    def _refuse_before_undo(self, history: History) -> None:
        """Raises: as `_refuse_changes`, and as `_refuse_undo_without_room`."""
        self._refuse_changes(history.plan.taking)
        self._refuse_undo_without_room(history)

    def _refuse_undo_without_room(self, history: History) -> None:
        """Raises: ShiftError where pods of the taking pool would keep their nodes from becoming empty."""
        plan = history.plan
        labels = plan.labels.items()
        nodes = [node for node in map(self.gateway.node, history.originals) if node is not None]
        gained = [pods.name(node) for node in nodes if labels <= pods.labels(node).items() and pods.is_ready(node)]
        self._refuse_without_room(plan.taking, gained, begun=history.direction == "rollback")

    def hindrance(self) -> MeshError | None:
        """What keeps the nodes of the newest shift from going back now, before anything was changed; None for nothing.
        For a command with another purpose, which may be the one that makes room, or ends a roll-out."""
        try:
            self._refuse_before_undo(self.open()[-1].history)
        except (ShiftError, LockedError) as error:
            return error
        return None

    def _run(self, journal: Journal, timeout_s: int = 0) -> History:
        runner = Runner(self.gateway, journal, self.report, self.stop, timeout_s)
        with self._with_next_commands(runner):
            runner.run()
            if runner.history.direction == "rollback":
                runner.add("shift", "closed", {"outcome": "rolled-back"})
        return runner.history

    @contextmanager
    def _with_next_commands(self, runner: Runner) -> Iterator[None]:
        try:
            yield
        except MeshError as error:
            if not runner.history.outcome:
                resume = f"`meshctl shift {self.environment} --resume` goes on"
                undo = f", `meshctl shift {self.environment} --undo` gives the nodes back"
                commands = resume + (undo if runner.history.direction == "forward" else "")
                error.hint = f"{error.hint}; {commands}" if error.hint else commands
            raise

    @contextmanager
    def _locked(self) -> Iterator[lock.Lease]:
        with lock.locked(self.store, self.mesh, break_lock=self.break_lock) as lease:
            if lease.taken_over_from is not None:
                text = f"lock taken over from {lease.taken_over_from}, which no longer runs"
                self.report(Event("message", "lock", "", text=text))
            yield lease

    def _new_id(self, tail: str) -> str:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self.gateway.now()))
        shift = f"{stamp}-{tail}"
        while shift in migrations(self.store, self.mesh, SHIFT):
            shift += "-2"
        return shift

    def _journal(self, shift: str, owner: str) -> Journal:
        return open_journal(self.store, self.mesh, shift, owner, SHIFT)


def end_with_environment(store: StateStore, mesh: str, environment: str, now: Callable[[], float] = time.time) -> None:
    """Close the shifts of an environment that was destroyed: its nodes are gone, or no longer the mesh's."""
    for status in in_force.open_shifts(store, mesh, environment):
        journal = open_journal(store, mesh, status.shift, "", SHIFT)
        journal.add("shift", "closed", now(), {"outcome": "finished"})
