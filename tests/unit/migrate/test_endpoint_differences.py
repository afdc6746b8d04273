"""A migration says in what an endpoint differs between both environments, and refuses what clients would lose."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.errors import InfeasibleError
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import MigrationPlan, plan_migration
from meshctl.model.deployment import Deployment, Gap
from tests.unit.deployments import deployment

FACTS = tuple(StoreFacts(store=name, objects=1, total_bytes=1) for name in ("weights", "checkpoints"))


def with_endpoint(environment: str, **changes: Any) -> Deployment:
    made = deployment(environment)
    ports = changes.pop("ports", None)
    endpoints = (made.endpoints[0].model_copy(update=changes),)
    workloads = tuple(w.model_copy(update={"ports": ports}) if ports and w.ports else w for w in made.workloads)
    return made.model_copy(update={"endpoints": endpoints, "workloads": workloads})


def planned(old: dict[str, Any], new: dict[str, Any]) -> MigrationPlan:
    source, target = with_endpoint("aws-east", **old), with_endpoint("cw", **new)
    return plan_migration(source, target, FACTS, Options(), {})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"access": "public"}, {"access": "internal"}, "public on aws-east, internal on cw: clients outside lose it"),
        ({}, {"access": "internal"}, "public on aws-east, internal on cw: clients outside lose it"),
        ({}, {"ports": {"http": 9000}}, "port 8000 on aws-east, on port 9000 on cw: clients of port 8000 lose it"),
        (
            {"access": "public"},
            {"access": "public", "cidrs": ("10.0.0.0/8",)},
            "it lets in all networks on aws-east, 10.0.0.0/8 on cw: clients in the others lose it",
        ),
        (
            {"access": "public", "cidrs": ("10.0.0.0/8", "fd00::/8")},
            {"access": "public", "cidrs": ("10.0.0.0/9", "fd00::/8")},
            "clients in the others lose it",
        ),
        ({"paths": ("/", "/v1")}, {"paths": ("/",)}, "it has no route for /v1 on cw"),
        ({"paths": ("/", "/v1")}, {}, "it has no route for /v1 on cw"),
        ({}, {"paths": ("/v1",)}, "it has no route for / on cw"),
    ],
)
def test_what_clients_would_lose_is_refused(old: dict[str, Any], new: dict[str, Any], words: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        planned(old, new)
    (gap,) = caught.value.gaps
    assert isinstance(gap, Gap)
    assert gap.subject == "endpoint/chat"
    assert words in gap.best
    assert "`meshctl up aws-east`" in gap.hint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"access": "internal"}, {"access": "public"}, "chat is internal on aws-east, public on cw: clients outside"),
        (
            {"access": "public", "cidrs": ("10.0.0.0/9", "10.128.0.0/9")},
            {"access": "public", "cidrs": ("10.0.0.0/8", "192.0.2.0/24")},
            "chat lets in 10.0.0.0/8, 192.0.2.0/24 on cw, and 10.0.0.0/9, 10.128.0.0/9 on aws-east: more clients",
        ),
        ({"access": "public", "cidrs": ("10.0.0.0/9",)}, {"access": "public"}, "chat lets in all networks on cw"),
    ],
)
def test_what_opens_is_said(old: dict[str, Any], new: dict[str, Any], words: str) -> None:
    assert any(words in note for note in planned(old, new).notes)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        ({}, {"access": "public"}),
        (
            {"access": "public", "cidrs": ("10.0.0.0/9", "10.128.0.0/9")},
            {"access": "public", "cidrs": ("10.0.0.0/8",)},
        ),
        ({}, {"access": "public", "cidrs": ("0.0.0.0/0",)}),
        ({"access": "public", "cidrs": ("0.0.0.0/0",)}, {"access": "public"}),
    ],
)
def test_what_is_alike_is_not_mentioned(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert not [note for note in planned(old, new).notes if " clients " in note]
