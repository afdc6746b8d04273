"""Records journals of shifts and of an expansion as a version of meshctl writes them. Run it once for each release.

    PYTHONPATH=<that version's tree> python tests/recorded_in_memory/record.py FOLDER

It works in the world of the unit tests. `tests/unit/shift/test_recorded_journals.py` reads what it writes with every
version that follows. Left out is who has recorded it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from meshctl.engine.state_store import StateStore
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.model.deployment import Deployment, Taint
from meshctl.shift.planning.plan import Request
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.test_expansion_by_gateway import BY_GATEWAY
from tests.unit.migrate.test_expansion_by_gateway import World as WithGateways
from tests.unit.shift.world import Killed, World, declared, world_of

PATCH = pytest.MonkeyPatch()


def tainted(**gang: int) -> Deployment:
    made = declared(**gang)
    taints = {name: Taint(key=name, value="", effect="NoSchedule") for name in ("train", "serve")}
    pools = tuple(pool.model_copy(update={"taints": (taints[pool.name],)}) for pool in made.pools)
    return made.model_copy(update={"pools": pools})


def shifted(*, killed_at: int = 0, undone: bool = False, undo_killed_after: int = 0, **gang: int) -> World:
    """After a shift of one node, whose run or undo may have been killed."""
    world = world_of(PATCH, deployment=tainted(**gang), replicas={"chat": 3})
    shifts = world.shifts()
    plan = shifts.plan(Request("train", "serve", 1, until_s=world.now + 3600))
    world.kill_at = killed_at
    try:
        shifts.start(plan)
    except Killed:
        world.survive()
    if undone:
        world.kill_at = world.moments + undo_killed_after if undo_killed_after else 0
        try:
            world.shifts().undo()
        except Killed:
            world.survive()
    return world


def expanded(gateway: FakeGateway, share: Share) -> World:
    world = world_of(PATCH)
    gateway.begin()
    migrations = Migrations("demo", gateway, world.shifts().store, data=gateway)
    migrations.start(migrations.plan_expansion("east", "west", share, Options(observe_s=6)))
    return world


def write(path: Path, world: World) -> None:
    store = StateStore(world.store)
    records: dict[str, Any] = {}
    for file in sorted((*store.paths("shifts/demo"), *store.paths("migrations/demo"))):
        if "/locks" not in file:
            records[file] = json.loads(store.read(file) or "{}") | {"owner": "somebody@somewhere pid 1"}
    path.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "shift-in-force.json", shifted())
    write(folder / "shift-under-way.json", shifted(killed_at=9))
    write(folder / "shift-undoing.json", shifted(undone=True, undo_killed_after=9))
    write(folder / "shift-undone.json", shifted(undone=True))
    write(folder / "shift-with-smaller-gang.json", shifted(least=2))
    write(folder / "expanded.json", expanded(FakeGateway(), Share(workload="chat", weight=102)))
    write(folder / "expanded-by-gateway.json", expanded(WithGateways(), BY_GATEWAY))


if __name__ == "__main__":
    main()
