"""meshctl and the kubernetes provider choose the same cluster of every kubeconfig, or refuse it with the same words.

Where they differed before there was one module for both, the case says so. The reference is client-go, which kubectl
and the official plugin load kubeconfigs with.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import CredentialsError
from meshwire import kubeconfig as kubeconfig_of_both
from meshwire.kubeconfig_files import check_files
from meshwire.kubernetes.credentials import Credentials
from meshwire.kubernetes.target import Trust, target
from providers.kubernetes import kubeconfig as of_provider
from providers.plugin.provider import ProviderError


def kubeconfig(*contexts: str, current: str = "", **user: Any) -> dict[str, Any]:
    """Each context leads to a cluster of its own name, as the user `u`."""
    return {
        "current-context": current,
        "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in contexts],
        "clusters": [{"name": name, "cluster": {"server": f"http://{name}"}} for name in contexts],
        "users": [{"name": "u", "user": user}],
    }


def written(path: Path, content: Any) -> str:
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def meshctl_chooses(given: str, context: str = "") -> tuple[str, str]:
    """(server, token) of a client of the engine, or ("refused", why)."""
    try:
        client = ClusterAccess("dc1", given, context).client()
    except CredentialsError as error:
        return "refused", error.why
    with client:
        return client.target.server, Credentials(client.target.user).header()


def provider_chooses(given: str, context: str = "") -> tuple[str, str]:
    """(server, token) as the provider would use them, or ("refused", why)."""
    try:
        chosen = of_provider.load(given, context=context, cluster="")
    except ProviderError as error:
        return "refused", str(error).removesuffix(" [code=Kubeconfig]")
    return chosen.server, Credentials(chosen.user).header()


def both(given: str, context: str = "") -> tuple[str, str]:
    """What both sides choose. Fails where they differ."""
    chosen = meshctl_chooses(given, context)
    assert provider_chooses(given, context) == chosen
    return chosen


def test_the_first_file_to_name_something_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kubeconfig("a", token="first")
    second = kubeconfig("a", "b", current="b", token="second")
    second["clusters"][0]["cluster"]["server"] = "http://other"
    paths = [str(tmp_path / "missing"), written(tmp_path / "1", first), written(tmp_path / "2", second)]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(paths))
    assert both("", "a") == ("http://a", "Bearer first")
    assert both("") == ("http://b", "Bearer first"), "the second file is the first to name a current context"
    assert both(paths[2]) == ("http://b", "Bearer second"), "a path that is given takes the place of $KUBECONFIG"
    assert both(json.dumps(kubeconfig("c", current="c"))) == ("http://c", "")


def test_the_home_folder_has_the_kubeconfig_where_no_variable_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    place = written(tmp_path / ".kube" / "config", kubeconfig("a", current="a"))
    assert both("") == both("~/.kube/config") == ("http://a", "")
    Path(place).unlink()
    assert both("") == ("refused", f"there is no kubeconfig at {place} (~/.kube/config)")
    monkeypatch.setenv("KUBECONFIG", ":")
    assert both("") == ("refused", "there is no kubeconfig at ':' ($KUBECONFIG)")


def test_an_empty_file_is_an_empty_kubeconfig(tmp_path: Path) -> None:
    """As for client-go. The provider refused it: `up` failed where `plan` had read the cluster."""
    paths = [written(tmp_path / "1", ""), written(tmp_path / "2", kubeconfig("a", current="a"))]
    assert both(os.pathsep.join(paths)) == ("http://a", "")


def test_a_file_in_utf_16_is_read_as_yaml_says(tmp_path: Path) -> None:
    """As for client-go. The provider took it for UTF-8."""
    text = yaml.safe_dump(kubeconfig("a", current="a"))
    assert both(written(tmp_path / "config", text.encode("utf-16"))) == ("http://a", "")


@pytest.mark.parametrize("content", ["[]", "false", "''", "0"])
def test_a_document_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    """As by client-go. meshctl took these for empty kubeconfigs."""
    path = written(tmp_path / "config", content)
    verdict, why = both(os.pathsep.join([path, written(tmp_path / "2", kubeconfig("a", current="a"))]))
    assert verdict == "refused"
    assert why.startswith(f"{path} is no kubeconfig: ")


@pytest.mark.parametrize("kind", ["contexts", "clusters", "users"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, kind: str) -> None:
    """As by client-go. meshctl took it, and went on with the other entries."""
    content = kubeconfig("a", current="a")
    content[kind].append({**content[kind][0], "name": 7})
    path = written(tmp_path / "config", content)
    assert both(path) == ("refused", f"{path} is no kubeconfig: the name 7 of an entry is no text")


@pytest.mark.parametrize(
    ("key", "entry"),
    [("certificate-authority", "clusters"), ("client-certificate", "users")],
)
def test_a_file_that_holds_no_certificate_is_named_before_anything_is_asked(
    tmp_path: Path, key: str, entry: str
) -> None:
    """The provider named all certificate files at once, and only for servers with https."""
    content = kubeconfig("a", current="a")
    wrong = written(tmp_path / "wrong.pem", "no certificate")
    content[entry][0][entry[:-1]] |= {key: wrong}
    if entry == "users":
        content[entry][0]["user"] |= {"client-key": wrong}
    verdict, why = both(written(tmp_path / "config", content))
    assert verdict == "refused"
    assert why.startswith(f"{wrong}")
    assert "certificate" in why


def test_data_in_a_kubeconfig_wins_over_a_file(tmp_path: Path) -> None:
    """As for client-go. Both sides read the file of a certificate authority once."""
    content = kubeconfig("a", current="a")
    content["clusters"][0]["cluster"] |= {"certificate-authority": "gone", "certificate-authority-data": "eA=="}
    chosen = kubeconfig_of_both.choose(written(tmp_path / "config", content))
    check_files(chosen)
    assert target(chosen).trust == Trust(authority_data="eA==")


def test_an_empty_path_names_no_file(tmp_path: Path) -> None:
    """As for client-go. meshctl's client read the token from the file "" at its first request."""
    assert both(written(tmp_path / "config", kubeconfig("a", current="a", token="t", tokenFile=""))) == (
        "http://a",
        "Bearer t",
    )


@pytest.mark.parametrize(
    ("content", "context"),
    [
        (None, ""),
        ("", "cw"),
        (kubeconfig("a"), ""),
        (kubeconfig("a"), "cw"),
        ({**kubeconfig("a"), "clusters": []}, "a"),
        ({**kubeconfig("a"), "users": []}, "a"),
        ({**kubeconfig("a"), "clusters": [{"name": "a", "cluster": {}}]}, "a"),
        ({**kubeconfig("a"), "clusters": ["a"]}, "a"),
        ({**kubeconfig("a"), "clusters": [{"cluster": {"server": "http://a"}}]}, "a"),
        ("a: [", "a"),
        ("just text", "a"),
        (b"\xff\x80\x81", "a"),
        (kubeconfig("a", token=7), "a"),
        (kubeconfig("a", **{"client-certificate": "gone", "client-key": "gone"}), "a"),
        (kubeconfig("a", **{"client-key-data": "eA=="}), "a"),
        (kubeconfig("a", tokenFile="gone"), "a"),
        (kubeconfig("a", tokenFile="~nosuchuser/token"), "a"),
    ],
)
def test_both_refuse_the_same_in_the_same_words(tmp_path: Path, content: Any, context: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        written(path, content)
    verdict, why = both(str(path), context)
    assert verdict == "refused"
    assert why
