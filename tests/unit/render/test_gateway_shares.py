"""The nginx.conf of a gateway that leads a share of its requests elsewhere, and of the one that gets them."""

from __future__ import annotations

import re
from difflib import ndiff
from typing import Any

import pytest

from meshctl.lab.images import nginx_rules
from meshctl.model.deployment import Deployment, Elsewhere, Workload
from meshctl.model.keys import gateway_shares as model
from meshctl.model.keys import gateways
from meshctl.render import platform_objects
from meshctl.render.controllers import gateway_shares
from meshctl.render.pod import file_mounts
from meshctl.resolve.work import nginx
from tests.unit.migrate.test_expansion_by_gateway import with_gateway

ELSEWHERE = Elsewhere(
    environment="west",
    weight=102,
    addresses=("192.0.2.2", "2001:db8::2"),
    port=443,
    certified_host="chat.example.com",
)
COUNTED = ELSEWHERE.model_copy(update={"is_counted": True})
ROUTES = {"/": "http://chat:8000", "/v1": "http://chat:8000", "/metrics": "http://chat:9000"}


def proxy(routes: dict[str, str] | None = None, tls: nginx.Tls = "fixed", **fields: Any) -> Workload:
    text = nginx.config(nginx.Settings(8443, routes or ROUTES, tls, redirect_port=8081))
    whole = with_gateway("east").workload("chat-gateway")
    return whole.model_copy(update={"files": {gateways.CONFIG: text}, **fields})


def config(workload: Workload) -> str:
    return gateway_shares.files(workload)[gateways.CONFIG]


def test_without_a_share_nothing_of_a_gateway_changes() -> None:
    plain = proxy()
    assert gateway_shares.files(plain) is plain.files
    other = plain.model_copy(update={"files": {"/etc/other": "text"}, "elsewhere": ELSEWHERE})
    assert gateway_shares.files(other) is other.files


def test_requests_take_turns_by_the_weights_on_each_port_of_the_pods() -> None:
    text = config(proxy(elsewhere=ELSEWHERE))
    assert re.findall(r"server (\S+) weight=(\d+) max_fails=0;", text) == [
        ("chat:8000", "153"),
        ("127.0.0.1:9080", "102"),
        ("chat:9000", "153"),
        ("127.0.0.1:9081", "102"),
    ]
    assert text.count("proxy_pass http://shared-0;") == 3  # of / and of /v1, whose Service is the same
    assert text.count("proxy_pass http://shared-1;") == 2


def test_the_other_side_is_left_after_failures_and_its_certificate_is_verified() -> None:
    text = config(proxy(elsewhere=ELSEWHERE))
    assert "server 192.0.2.2:443 max_fails=3 fail_timeout=10s;" in text
    assert "server [2001:db8::2]:443 max_fails=3 fail_timeout=10s;" in text
    for inner in text.split("listen 127.0.0.1")[1:]:
        assert "proxy_connect_timeout 2s;" in inner
        assert "proxy_next_upstream_timeout 2s;" in inner  # of all addresses together
        assert "proxy_ssl_name chat.example.com;" in inner
        assert "proxy_ssl_verify on;" in inner
        assert "proxy_pass https://elsewhere;" in inner
        assert "X-Forwarded-For $http_x_forwarded_for;" in inner  # and not the address of the pod's own loopback
    plain = config(proxy(tls="", elsewhere=ELSEWHERE.model_copy(update={"certified_host": "", "port": 80})))
    assert "proxy_ssl" not in plain
    assert "proxy_pass http://elsewhere;" in plain


@pytest.mark.parametrize(
    ("fate", "may_have_run"),
    [
        ("502;0", False),  # no connection
        ("502, 502;0, 0", False),
        (";", False),  # nobody was asked
        ("421;311", False),  # the other gateway had no pod to send it to
        ("502, 421;0, 311", False),
        ("502;311", True),  # it was sent, and the connection broke
        ("502, 502;0, 311", True),
        ("504;311", True),
    ],
)
def test_only_what_was_never_sent_is_asked_again(fate: str, *, may_have_run: bool) -> None:
    """As nginx evaluates the `map`: by its regular expressions, in their order."""
    text = config(proxy(elsewhere=ELSEWHERE))
    (rules,) = re.findall(r'map "\$upstream_status;\$upstream_bytes_sent" \$may_have_run \{ (.*) \}', text)
    unsent = re.findall(r'"~([^"]+)" 0;', rules)
    assert len(unsent) == 2
    assert any(re.search(pattern, fate) for pattern in unsent) is not may_have_run


def test_the_other_gateway_says_what_it_did_not_send_to_gateways_alone() -> None:
    text = config(proxy(says_unsent=True))
    assert text.count("error_page 502 504 = @unsent;") == 1
    before, _, after = text.partition("error_page")
    assert before.rstrip().endswith("server {")
    assert "return 421;" in after
    (pattern,) = re.findall(r'\$may_have_run \{ default 1; "~([^"]+)" 0; \}', text)
    asked_by = {"1 0": True, "1 0, 0": True, "1 311": False, " 0": False, "1 0, 311": False}
    assert {fate: bool(re.search(pattern, fate)) for fate in asked_by} == asked_by


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("10.0.0.9:8000", "meshctl-share 102 here"),
        ("127.0.0.1:9081, 10.0.0.9:8000", "meshctl-share 102 here"),  # the gateway's own server took no connection
        ("10.0.0.9:8000, 127.0.0.1:9081", ""),  # its own server writes it
        ("", ""),  # the gateway answered by itself
        ("192.0.2.2:443", "meshctl-share 102 elsewhere"),
        ("[2001:db8::2]:443", "meshctl-share 102 elsewhere"),
        ("192.0.2.2:443, [2001:db8::2]:443", "meshctl-share 102 elsewhere"),
        ("192.0.2.2:443 : 10.0.0.9:8000", "meshctl-share 102 here"),  # it was not taken there
        ("elsewhere : 10.0.0.9:8000", "meshctl-share 102 here"),
        ("192.0.2.20:443", "meshctl-share 102 here"),
    ],
)
def test_each_request_is_written_once_with_the_side_that_was_asked_last(asked: str, line: str) -> None:
    """`$upstream_addr` as nginx has it; the lab's proxy evaluates the `map` in its order."""
    rules = nginx_rules.rules(config(proxy(elsewhere=COUNTED)))
    logs = [rules.log, *(each.log for each in rules.inner.values())]
    assert [log.line([asked]) if log else None for log in logs] == [line] * 3
    assert model.counted(f"{line}\n", 102).total == (1 if line else 0)


def test_the_format_of_the_log_stands_before_its_first_use() -> None:
    """Where it stands after it, nginx does not start."""
    text = config(proxy(elsewhere=COUNTED))
    assert text.index("log_format share ") < text.index("access_log /dev/stdout share ")
    assert text.count("if=$share_side;") == 3  # the gateway's server, and one of its own for each port of the pods
    (reached,) = re.findall(r"location = /\.meshctl/elsewhere \{(.*?)\}", text, re.DOTALL)
    assert "access_log off;" in reached


def test_a_share_of_an_older_release_has_no_line_of_it() -> None:
    """So its pods are not replaced. All else is as where requests are counted."""
    before, after = (config(proxy(elsewhere=each)).splitlines() for each in (ELSEWHERE, COUNTED))
    assert not any("share_side" in line for line in before)
    assert [line for line in ndiff(before, after) if line.startswith("- ")] == []


def test_a_new_share_rolls_out_the_pods_of_the_gateway() -> None:
    shares = [None, ELSEWHERE, ELSEWHERE.model_copy(update={"weight": 51})]
    revisions = {file_mounts.pod_annotations(proxy(elsewhere=each))[file_mounts.REVISION] for each in shares}
    assert len(revisions) == 3


def test_what_is_rendered_has_the_share_and_the_rest_is_as_before() -> None:
    plain = with_gateway("east")
    workloads = tuple(each.model_copy(update={"pool": "train"}) for each in plain.workloads)
    plain = plain.model_copy(update={"workloads": workloads})
    shared = model.with_shares(plain, {"chat": ELSEWHERE})
    before, after = (_objects(each) for each in (plain, shared))
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed == {"workload/chat-gateway:deployment", "workload/chat-gateway:files"}
    assert model.with_shares(shared, {"chat": None}) == plain


def _objects(deployment: Deployment) -> dict[str, Any]:
    return {each.name: each.manifest for each in platform_objects(deployment)}
