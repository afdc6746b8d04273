"""What a seed records about multipart uploads, and when the sync may skip them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from meshctl.migrate import views
from meshctl.objects import seeded
from meshctl.objects.listing import Item
from meshctl.objects.sync import CopyResult
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of

PARTS, OTHER_PARTS, WHOLE = "a" * 32 + "-3", "b" * 32 + "-2", "c" * 32


def test_only_what_stayed_the_same_during_the_copy_is_noted() -> None:
    item, there = Item(9, PARTS, 1.0), Item(9, OTHER_PARTS, 2.0)
    here = {"same": item, "written": replace(item, modified=3.0), "short": item, "gone": item, "whole": Item(9, WHOLE)}
    before = {**here, "written": item}
    target = {"same": there, "written": there, "short": replace(there, size=4), "whole": Item(9, WHOLE)}
    assert seeded.proven_etags(before, {**here, "new": item}, {**target, "new": there}) == {
        "same": (PARTS, OTHER_PARTS)
    }


def test_keys_that_could_be_taken_for_patterns_are_not_noted() -> None:
    keys = ["a*", "a[1]", "{a,b}", " lead", "trail ", "a\\b", "a\nb", "#x", "a//b", "/a", "a?", "ü"]
    here = dict.fromkeys([*keys, "shards/0001-of-2.tar"], Item(9, PARTS))
    assert list(seeded.proven_etags(here, here, here)) == ["shards/0001-of-2.tar"]


def test_of_too_many_objects_the_largest_are_noted(monkeypatch: Any) -> None:
    monkeypatch.setattr(seeded, "MOST", 2)
    here = {f"k{size}": Item(size, PARTS) for size in range(1, 5)}
    assert list(seeded.proven_etags(here, here, here)) == ["k4", "k3"]


def test_what_changed_on_either_side_since_is_not_passed_over() -> None:
    here, there = Item(9, PARTS, 5.0), Item(9, WHOLE, 2.0)
    notes = dict.fromkeys(("same", "source", "target", "gone", "lost"), (PARTS, WHOLE))
    source = {**dict.fromkeys(notes, here), "source": Item(9, OTHER_PARTS)}
    target = {**dict.fromkeys(notes, there), "target": Item(9, PARTS)}
    del source["gone"], target["lost"]
    assert seeded.keys_unchanged_since_seed(notes, source, target) == ["same"], "its time plays no part"


def test_the_sync_is_told_what_the_seed_noted() -> None:
    gateway, etags_of_copies = FakeGateway().begin(), []
    copy = gateway.copy

    def noting(*sides: Any, **options: Any) -> CopyResult:
        if not options["live"]:
            etags_of_copies.append(options["seeded_etags"])
        return replace(copy(*sides, **options), etags={"k": (PARTS, WHOLE)} if options["live"] else {})

    gateway.copy = noting  # type: ignore[method-assign]
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    migrations.rollback()
    assert etags_of_copies == [{"k": (PARTS, WHOLE)}] * 2 + [{}], "a copy back has no seed"
    as_read = json.loads(json.dumps(etags_of_copies[0]))
    assert seeded.keys_unchanged_since_seed(as_read, {"k": Item(9, PARTS)}, {"k": Item(9, WHOLE)}) == ["k"], (
        "after a kill"
    )
    shown = views.detail_document(*migrations.status())
    assert PARTS not in str(shown)
