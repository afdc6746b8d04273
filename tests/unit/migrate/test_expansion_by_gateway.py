"""A workload whose requests the source's gateway shares with a second environment, in memory, killed at any moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.cli import expand as commands
from meshctl.clients.endpoints.health_checks import Answer, Question
from meshctl.errors import InfeasibleError, LockedError, MeshError, MigrationError, ResourcesFailedError, UsageError
from meshctl.migrate.gateway import EndpointTarget, UpResult
from meshctl.migrate.journal import guard
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.migrate.steps.order.share_plan import next_round
from meshctl.migrate.views import detail_document
from meshctl.migrate.views.expansion import expansion_document, expansion_text
from meshctl.model.deployment import Deployment, Elsewhere, Endpoint, Health, Workload
from meshctl.model.keys import gateway_shares, gateways
from meshctl.model.observed import PodState
from meshctl.render.controllers.gateway_shares import REACHED_PATH
from meshctl.resolve.work import nginx
from tests.golden_files import Golden
from tests.unit.migrate.expansions import OPTIONS, migrations_of, run, weights
from tests.unit.migrate.fake_gateway import FakeGateway, Killed, deployment

BY_GATEWAY = Share(workload="chat", weight=102, by="gateway")


def with_gateway(environment: str) -> Deployment:
    """The mesh of the other tests, its endpoint with TLS and a gateway."""
    plain = deployment(environment)
    config = nginx.config(nginx.Settings(8443, {"/": "http://chat:8000"}, "fixed"))
    proxy = Workload(
        name="chat-gateway",
        kind="service",
        pool="serve",
        replicas=2,
        image=nginx.IMAGE,
        files={gateways.CONFIG: config},
        ports={"https": 8443},
        health=Health(path=nginx.HEALTH_PATH, port="https", protocol="https"),
        forwards_to=("chat",),
    )
    (plain_endpoint,) = plain.endpoints
    changes = {"workload": "chat-gateway", "port": "https", "listens": 443, "paths": ("/",)}
    endpoint = plain_endpoint.model_copy(update=changes)
    return plain.model_copy(update={"workloads": (*plain.workloads, proxy), "endpoints": (endpoint,)})


@dataclass
class World(FakeGateway):
    """`reached`: whether the pods of east's gateway reach west's load balancer. `old_pods`: how often a pod of a
    replaced gateway is still seen before it has ended; `endless`: it does not end; `killed_at`: when its grace is over.
    `failing`: what of east fails in each `up`, after all else was done; `not_rolled`: what the roll-out of its gateway
    lacks; `lost`: nodes that do not answer. In every moment west serves while the gateway leads requests there."""

    declared: dict[str, Deployment] = field(default_factory=lambda: {e: with_gateway(e) for e in ("east", "west")})
    reached: bool = True
    old_pods: int = 0
    endless: bool = False
    killed_at: float = 0.0
    failing: str = ""
    not_rolled: str = ""
    lost: frozenset[str] = frozenset()

    def deployment(self, environment: str, moved_from: Deployment, workload: str = "") -> Deployment:
        whole = self.declared[environment]
        part = super().deployment(environment, moved_from, workload)
        if not workload:
            return part
        own = (whole.workload("chat"), whole.workload("chat-gateway"))
        return part.model_copy(update={"workloads": own, "endpoints": whole.endpoints})

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        before = self.deployments[deployment.environment]
        if before is not None and gateway_shares.shares(before) != gateway_shares.shares(deployment):
            self.old_pods = 3
        result = super().up(deployment, say)
        if self.failing and deployment.environment == "east":
            raise ResourcesFailedError(f"up east: {self.failing} is not ready", failures=[])
        return result

    def not_declared(self, deployment: Deployment, workload: str) -> str:
        assert workload == "chat-gateway"
        return self.not_rolled or super().not_declared(deployment, workload)

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        pods = list(super().pods(deployment, workload))
        if workload == "chat-gateway" and self.old_pods:
            self.old_pods -= 0 if self.endless else 1
            ending = PodState("old", workload, "Running", False, "node", 0, stopping=True, grace_s=30)
            pods.append(replace(ending, killed_at=self.killed_at))
        return pods

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        return self.lost & set(nodes)

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        if question.path == REACHED_PATH and not self.reached:
            return Answer(ok=False, text=f"GET https://{address}{question.path}: status 502")
        return super().probe(deployment, endpoint, address, question)

    def check(self) -> None:
        super().check()
        if self.led("chat") is not None:
            assert "west" in self.silent or self.running("west", "chat"), "requests are led to where nothing serves"

    def destroy(self, deployment: Deployment, **options: Any) -> None:
        assert not self.old_pods, "a pod of the gateway still leads requests to what is destroyed"
        super().destroy(deployment, **options)

    def led(self, endpoint: str) -> Elsewhere | None:
        east = self.deployments["east"]
        return gateway_shares.shares(east).get(endpoint) if east is not None else None


def expanded(gateway: World, store: MemoryStore | None = None) -> Migrations:
    migrations = migrations_of(gateway, store)
    migrations.start(migrations.plan_expansion("east", "west", BY_GATEWAY, OPTIONS))
    return migrations


def assert_expanded(gateway: World, weight: int) -> None:
    to_west = Elsewhere(environment="west", weight=weight, addresses=("192.0.2.2",), port=443, is_counted=True)
    assert gateway.led("chat") == to_west.model_copy(update={"certified_host": "chat.example.com"})
    assert weights(gateway) == {"east": 255, "west": 0}
    assert gateway.names["chat"].environments == {"east", "west"}
    assert gateway.running("west", "chat")
    west = gateway.deployments["west"]
    assert west is not None
    assert west.workload("chat-gateway").says_unsent


def assert_contracted(gateway: World) -> None:
    assert gateway.deployments["east"] == gateway.declared["east"]
    assert gateway.names == {"chat": EndpointTarget("east", "east-lb")}
    assert gateway.weighted == {}
    assert not gateway.running("west", "chat")


def test_the_gateway_has_the_share_and_dns_leads_to_the_target_only_when_the_source_fails() -> None:
    gateway = World().begin()
    expanded(gateway)
    assert_expanded(gateway, 102)
    assert gateway.questions[-1] != Question("https", REACHED_PATH, below=300)  # the target is watched after it
    assert Question("https", REACHED_PATH, below=300) in gateway.questions


def test_given_again_it_changes_the_share_of_the_gateway_alone() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.buckets["east-weights"]["w/new"] = b"x"
    for weight in (204, 51):
        migrations.share_again(migrations.ids()[0], weight)
        assert_expanded(gateway, weight)
    assert gateway.buckets["west-weights"] == gateway.buckets["east-weights"]


def test_all_of_it_is_led_by_dns_which_works_without_the_source() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.check = lambda: None  # type: ignore[method-assign]
    gateway.silent.add("east")
    migrations.share_again(migrations.ids()[0], 255)
    assert weights(gateway) == {"east": 0, "west": 255}
    gateway.silent.clear()
    migrations.share_again(migrations.ids()[0], 102)
    assert_expanded(gateway, 102)


def test_a_target_that_does_not_answer_gets_less_and_never_more() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.silent.add("west")
    gateway.reached = False
    migrations.share_again(migrations.ids()[0], 10)
    led = gateway.led("chat")
    assert led is not None
    assert (led.weight, led.addresses) == (10, ("192.0.2.2",))
    with pytest.raises(MigrationError, match="west does not answer"):
        migrations.share_again(migrations.ids()[0], 200)
    assert gateway.led("chat") == led


def test_a_target_that_the_gateway_does_not_reach_stops_the_expansion_and_says_so() -> None:
    gateway = World(reached=False).begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan_expansion("east", "west", BY_GATEWAY, OPTIONS)
    with pytest.raises(MigrationError, match=r"the gateway of east to reach chat\.example\.com in west") as caught:
        migrations.start(plan)
    assert "status 502" in caught.value.why
    assert "`meshctl contract` gives up the expansion" in caught.value.hint
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


def test_contract_waits_for_the_gateways_old_pods_before_the_target_goes() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    assert migrations.rollback(destroy_target=True).state == "rolled-back"
    assert_contracted(gateway)
    assert gateway.old_pods == 0
    assert gateway.destroyed_with_data == {"west": False}


def said(migrations: Migrations) -> list[str]:
    """What the next command says on its way."""
    texts: list[str] = []
    migrations.report = lambda event: texts.append(event.text)
    return texts


def test_what_else_fails_in_the_source_holds_no_share_up() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.failing = "workload/pretrain"
    texts = said(migrations)
    migrations.share_again(migrations.ids()[0], 51)
    assert_expanded(gateway, 51)
    assert [text for text in texts if "pretrain" in text] == [
        "the gateway of east has the new share, but another part of the `up` failed: up east: workload/pretrain is"
        " not ready; `meshctl up east` tries again"
    ]
    assert migrations.rollback(destroy_target=True).state == "rolled-back"
    assert_contracted(gateway)


def test_a_gateway_whose_pods_are_not_new_ends_the_step() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.failing, gateway.not_rolled = "workload/chat-gateway", "1 of 2 pods are new"
    with pytest.raises(MigrationError, match="workload/chat-gateway is not ready"):
        migrations.rollback(destroy_target=True)
    assert gateway.running("west", "chat")
    gateway.failing = gateway.not_rolled = ""
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


def test_contract_changes_the_gateway_alone_where_the_source_s_up_is_refused() -> None:
    """Whatever is wrong with the rest of the source, all users can be led to its pods again."""
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.owned["east"] = {"workload/pretrain:spec.replicas"}
    texts = said(migrations)
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)
    assert [text for text in texts if "pretrain" in text] == [
        "the gateway of east has the new share, but another part of the `up` failed:"
        " workload/pretrain:spec.replicas is set by kubectl; `meshctl up east` tries again"
    ]


def test_a_larger_share_is_not_given_past_a_refusal() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.owned["east"] = {"workload/pretrain:spec.replicas"}
    with pytest.raises(MeshError, match="pretrain"):
        migrations.share_again(migrations.ids()[0], 200)
    assert_expanded(gateway, 102)


def test_fields_of_the_gateway_itself_end_the_step() -> None:
    """Nothing was changed then: the gateway's pods are ready, and lead to the target as before."""
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.owned["east"] = {"workload/pretrain:spec.replicas", "workload/chat-gateway:spec.template"}
    with pytest.raises(MeshError, match=r"chat-gateway:spec\.template is set by kubectl"):
        migrations.rollback(destroy_target=True)
    assert gateway.led("chat") is not None
    assert gateway.running("west", "chat")
    gateway.owned.clear()
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)


@pytest.mark.parametrize("is_lost", [True, False])
def test_an_old_pod_that_does_not_end_is_asked_about_where_its_node_is_lost(is_lost: bool) -> None:
    gateway = World(lost=frozenset({"node"} if is_lost else ())).begin()
    migrations = expanded(gateway)
    gateway.endless = True
    with pytest.raises(MigrationError) as stopped:
        migrations.rollback(destroy_target=True)
    assert gateway.running("west", "chat")
    if not is_lost:
        assert "waiting for the old pods of chat-gateway to end" in stopped.value.what
        assert stopped.value.why == "still ending what is in flight: old"
        assert "--done" not in stopped.value.hint
        return
    assert stopped.value.what == "can't tell whether old still runs"
    assert stopped.value.why == "their node is lost, so the cluster of east does not know"
    assert "--done rollback/gateway" in stopped.value.hint
    gateway.old_pods, gateway.endless = 0, False  # somebody has looked: the machine is off
    migrations.resume(done="rollback/gateway")
    assert_contracted(gateway)


def test_what_an_old_pod_that_is_killed_may_break_off_is_said() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.killed_at = gateway.clock
    texts = said(migrations)
    migrations.rollback(destroy_target=True)
    (line,) = [text for text in texts if "grace" in text]
    assert line.startswith("old used its whole grace period of 30 s, after which a pod is killed: requests")
    assert line.endswith(" that it still had in flight may have been cut off")


def test_contract_works_while_the_target_is_gone() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    gateway.lose("west")
    migrations.rollback(target_lost=True)
    assert gateway.led("chat") is None
    assert gateway.names == {"chat": EndpointTarget("east", "east-lb")}


def test_an_up_of_the_source_meanwhile_keeps_the_share_and_contract_keeps_what_it_changed() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    newer = gateway.declared["east"]
    chat = newer.workload("chat").model_copy(update={"image": "vllm:2"})
    newer = newer.model_copy(update={"workloads": (chat, *newer.workloads[1:])})
    gateway.up(gateway_shares.as_they_are_up(newer, gateway.deployments["east"]), lambda _: None)
    assert_expanded(gateway, 102)
    migrations.rollback(destroy_target=True)
    assert gateway.deployments["east"] == newer


def test_an_up_that_would_lead_routes_elsewhere_is_refused() -> None:
    gateway = World().begin()
    status = expanded(gateway).status()
    east = gateway.declared["east"]
    guard.refuse_unserved(*status, east)
    (endpoint,) = east.endpoints
    routed = east.model_copy(update={"endpoints": (endpoint.model_copy(update={"paths": ("/", "/v1")}),)})
    with pytest.raises(LockedError, match=r"would change what serves chat\.example\.com in east"):
        guard.refuse_unserved(*status, routed)


def test_a_share_is_in_force_in_its_source_while_the_expansion_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    project: Any = None
    monkeypatch.setattr(guard, "open_migration_of", lambda _: migrations.expansion())
    assert guard.expands_by_gateway(project, "east")
    assert not guard.expands_by_gateway(project, "west")
    migrations.rollback(destroy_target=True)
    assert not guard.expands_by_gateway(project, "east")


def test_an_expansion_by_dns_gives_the_gateway_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    migrations = migrations_of(World().begin())
    by_dns = Share(workload="chat", weight=102)
    migrations.start(migrations.plan_expansion("east", "west", by_dns, OPTIONS))
    monkeypatch.setattr(guard, "open_migration_of", lambda _: migrations.expansion())
    project: Any = None
    assert not guard.expands_by_gateway(project, "east")


def without_gateway(whole: Deployment) -> Deployment:
    return deployment(whole.environment)


def with_pods_by_https(whole: Deployment) -> Deployment:
    proxy = whole.workload("chat-gateway")
    files = {gateways.CONFIG: proxy.files[gateways.CONFIG].replace("http://chat", "https://chat")}
    changed = {each.name: each for each in (proxy.model_copy(update={"files": files}),)}
    return whole.model_copy(update={"workloads": tuple(changed.get(w.name, w) for w in whole.workloads)})


@pytest.mark.parametrize(
    ("change", "why", "hint"),
    [
        (without_gateway, "leads straight to the pods", "write `routes: {/: chat/http}` in endpoints.chat"),
        (with_pods_by_https, "the gateway asks them by HTTPS", "end TLS at the gateway alone"),
    ],
)
def test_what_a_gateway_can_not_share_is_refused(change: Any, why: str, hint: str) -> None:
    gateway = World()
    for environment, whole in gateway.declared.items():
        gateway.declared[environment] = change(whole)
    gateway.begin()
    plain = FakeGateway.deployment
    part = plain(gateway, "west", gateway.declared["east"], "chat") if change is without_gateway else None
    if part is not None:
        gateway.deployment = lambda *_: part  # type: ignore[method-assign]
    with pytest.raises(InfeasibleError) as caught:
        migrations_of(gateway).plan_expansion("east", "west", BY_GATEWAY, OPTIONS)
    assert why in caught.value.why
    assert hint in caught.value.hint


@pytest.mark.parametrize("changes", [{"access": "internal"}, {"cidrs": ("10.0.0.0/8",)}])
def test_what_not_all_networks_reach_is_tried_and_the_plan_says_what_is_not_watched(changes: dict[str, Any]) -> None:
    gateway = World()
    for environment, whole in gateway.declared.items():
        endpoint = whole.endpoints[0].model_copy(update=changes)
        gateway.declared[environment] = whole.model_copy(update={"endpoints": (endpoint,)})
    gateway.begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan_expansion("east", "west", BY_GATEWAY, OPTIONS)
    assert "must reach its load balancer in west, which is tried before the share counts" in expansion_text(plan)
    assert "if the gateway of east fails, its requests fail until you" in expansion_text(plan)
    migrations.start(plan)
    assert_expanded(gateway, 102)
    assert [side.check for side in gateway.weighted["chat"].sides] == [None, None]


def test_a_migration_does_not_go_on_from_it() -> None:
    gateway = World().begin()
    migrations = expanded(gateway)
    with pytest.raises(UsageError, match="expanded by the gateway of east") as caught:
        migrations.plan("east", "west", Options())
    assert "`meshctl contract`, then migrate" in caught.value.hint


def test_the_way_stays_as_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = World().begin()
    migrations = migrations_of(gateway)
    run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "40%", by="gateway", observe=2)
    assert_expanded(gateway, 102)
    run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "20%")
    assert_expanded(gateway, 51)
    with pytest.raises(UsageError, match="chat is shared by gateway, not by dns"):
        run(commands.expand, migrations, monkeypatch, "east", "west", "chat", "30%", by="dns")


def test_the_plan_says_what_the_gateway_does(golden: Golden) -> None:
    gateway = World().begin()
    plan = migrations_of(gateway).plan_expansion("east", "west", BY_GATEWAY, OPTIONS)
    golden("migrate/expansion-by-gateway.txt", expansion_text(plan))
    assert expansion_document(plan)["by"] == "gateway"


def test_where_requests_are_led_is_shown_and_what_the_next_share_does() -> None:
    migrations = expanded(World().begin())
    assert detail_document(*migrations.status())["expansion"]["by"] == "gateway"
    steps = [step.name for step in next_round(migrations.status().history, 204)]
    assert steps == ["round1/seed.weights", "round1/gateway", "round1/records"]
    steps = [step.name for step in next_round(migrations.status().history, 255)]
    assert steps == ["round1/records", "round1/seed.weights"]


def _broken_off() -> Iterator[tuple[World, Migrations]]:
    """An expansion that was killed, at each of its moments, and what the next command has of it."""
    whole = World().begin()
    expanded(whole)
    for kill_at in range(1, whole.moments + 1):
        gateway = World().begin()
        gateway.kill_at = kill_at
        store = MemoryStore()
        with contextlib.suppress(Killed):
            expanded(gateway, store)
        gateway.revive()
        yield gateway, migrations_of(gateway, store)


def test_killed_at_every_moment_it_ends_the_same() -> None:
    for gateway, again in _broken_off():
        if again.expansion() is None:
            again.start(again.plan_expansion("east", "west", BY_GATEWAY, OPTIONS))
        else:
            again.resume()
        assert_expanded(gateway, 102)


def test_a_broken_off_expansion_can_be_contracted_at_every_moment() -> None:
    for gateway, again in _broken_off():
        if again.expansion() is not None:
            again.rollback(destroy_target=True)
        assert_contracted(gateway)


@pytest.mark.parametrize("action", ["another share", "contract"])
def test_killed_in_what_comes_after_it_ends_the_same(action: str) -> None:
    def act(migrations: Migrations) -> None:
        if action == "contract":
            migrations.rollback(destroy_target=True)
        else:
            migrations.share_again(migrations.ids()[0], 204)

    whole = World().begin()
    migrations = expanded(whole)
    whole.moments = 0
    act(migrations)
    for kill_at in range(1, whole.moments + 1):
        gateway, store = World().begin(), MemoryStore()
        migrations = expanded(gateway, store)
        gateway.moments, gateway.kill_at = 0, kill_at
        with contextlib.suppress(Killed):
            act(migrations)
        gateway.revive()
        again = migrations_of(gateway, store)
        status = again.expansion()
        if action == "contract":
            if status is not None:
                again.rollback(destroy_target=True)
            assert_contracted(gateway)
        else:
            act(again)
            assert_expanded(gateway, 204)
