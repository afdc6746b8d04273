from __future__ import annotations

from typing import Any

import pytest

from meshctl.lab.pods import environment

POD: dict[str, Any] = {
    "metadata": {"name": "chat-0", "namespace": "llm", "labels": {"a/b": "c"}, "annotations": {}},
    "spec": {"nodeName": "n1", "containers": []},
    "status": {"podIP": "10.240.0.2"},
}
DATA = {("Secret", "keys"): {"id": b"AK"}, ("ConfigMap", "set"): {"X": b"1"}, ("Secret", "gone"): None}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)/x", "1/x"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A}", "$A ${A}"),
        ("$(A)$(A)", "11"),
        ("$(odd name)", "2"),
        ("$(echo $$)", "$(echo $$)"),
        ("$(echo $(A))", "$(echo $(A))"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("$$\u00e9", "$\u00e9"),
        ("$\u00e9", "$\u00c3\ufffd"),
    ],
)
def test_variables_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "odd name": "2"}) == expanded


def test_a_process_gets_the_address_that_it_can_listen_on() -> None:
    seen = environment.as_seen_inside(POD, "127.65.0.2")
    address = {"name": "MESH_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    container = {"name": "main", "env": [address, {"name": "URL", "value": "tcp://$(MESH_ADDRESS):29500"}]}
    assert environment.variables(container, seen, {})["URL"] == "tcp://127.65.0.2:29500"
    assert POD["status"]["podIP"] == "10.240.0.2"


def test_every_source_of_a_variable() -> None:
    container = {
        "name": "main",
        "resources": {"limits": {"cpu": "8"}},
        "envFrom": [
            {"configMapRef": {"name": "set"}, "prefix": "P_"},
            {"secretRef": {"name": "gone", "optional": True}},
        ],
        "env": [
            {"name": "ID", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "id"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "no", "optional": True}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "BOTH", "value": "$(POD)-$(P_X)-$(NONE)"},
        ],
    }
    assert environment.variables(container, POD, DATA) == {
        "P_X": "1",
        "ID": "AK",
        "POD": "chat-0",
        "LABEL": "c",
        "IP": "10.240.0.2",
        "CPU": "8",
        "BOTH": "chat-0-1-$(NONE)",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "x"}}, 'secret "gone" not found'),
        ({"secretKeyRef": {"name": "keys", "key": "x"}}, 'secret "keys" has no key x'),
        ({"configMapKeyRef": {"name": "other", "key": "x"}}, 'configmap "other" not found'),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    container = {"name": "main", "env": [{"name": "V", "valueFrom": source}]}
    with pytest.raises(environment.MissingReferenceError, match=message):
        environment.variables(container, POD, DATA)


def test_references_cover_containers_and_volumes() -> None:
    pod = {
        "spec": {
            "initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}],
            "containers": [{"env": [{"name": "x", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}]}],
            "volumes": [
                {"name": "1", "secret": {"secretName": "c"}},
                {"name": "2", "projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {"name": "e"}}]}},
                {"name": "3", "emptyDir": {}},
            ],
        }
    }
    expected = {("Secret", "a"), ("ConfigMap", "b"), ("Secret", "c"), ("ConfigMap", "d"), ("Secret", "e")}
    assert environment.references(pod) == expected


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://127.0.0.1:34567", "127.0.0.1", "34567"),
        ("https://api.example.com", "api.example.com", "443"),
    ],
)
def test_a_pod_is_told_where_the_api_server_is(url: str, host: str, port: str) -> None:
    assert environment.of_api_server(url) == {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
