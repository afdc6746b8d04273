"""Which cluster a kubeconfig chooses, and what is said when it chooses none."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.clients.kubernetes.cluster_access import ClusterAccess, translate_errors
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshwire.kubernetes.errors import ApiError, CredentialError, NoAnswerError
from providers.kubernetes import kubeconfig as of_provider
from providers.plugin.provider import ProviderError


def kubeconfig(*contexts: str, server: str = "", current: str = "", **user: Any) -> dict[str, Any]:
    """Each context has a cluster `k` at the server `server`, or one of its own name."""
    return {
        "current-context": current,
        "contexts": [{"name": n, "context": {"cluster": "k" if server else n, "user": "u"}} for n in contexts],
        "clusters": [{"name": "k" if server else n, "cluster": {"server": server or f"http://{n}"}} for n in contexts],
        "users": [{"name": "u", "user": user}],
    }


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def server(access: ClusterAccess) -> str:
    with access.client() as client:
        return client.target.server


def test_the_files_of_kubeconfig_are_read_as_kubectl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(tmp_path / "first", kubeconfig("a", server="http://first"))
    second = written(tmp_path / "second", kubeconfig("b", server="http://second", current="b"))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{first}:{second}")
    assert server(ClusterAccess("dc1")) == "http://first", "the first file to name a cluster wins for all contexts"
    assert server(ClusterAccess("dc1", str(second), "b")) == "http://second"
    assert server(ClusterAccess("dc1", json.dumps(kubeconfig("c", current="c")))) == "http://c"


def test_a_context_without_a_user_is_asked_without_credentials(tmp_path: Path) -> None:
    anonymous = kubeconfig("a", current="a")
    del anonymous["contexts"][0]["context"]["user"]
    assert server(ClusterAccess("dc1", str(written(tmp_path / "config", anonymous)))) == "http://a"


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        (None, "", "there is no kubeconfig at"),
        ("", "cw", 'no context "cw"; it has none'),
        ("", "", "no current context; it has no contexts at all"),
        (kubeconfig("a"), "", "no current context; it has a"),
        (kubeconfig("a"), "cw", 'no context "cw"; it has a'),
        ({**kubeconfig("a"), "clusters": []}, "a", 'no cluster "a"; it has none'),
        ({**kubeconfig("a"), "users": []}, "a", 'no user "u"; it has none'),
        ("a: [", "a", "no kubeconfig"),
        ("just text", "a", "no kubeconfig"),
        ({**kubeconfig("a"), "clusters": ["a"]}, "a", "no kubeconfig"),
        (kubeconfig("a", token=7), "a", 'the context "a" is malformed'),
        (
            kubeconfig("a", server="https://a", **{"client-certificate": "gone", "client-key": "gone"}),
            "a",
            "No such file",
        ),
    ],
)
def test_a_kubeconfig_that_chooses_nothing_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, context: str, said: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        written(path, content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    for access in (ClusterAccess("cw", context=context), ClusterAccess("cw", str(path), context)):
        with pytest.raises(CredentialsError) as caught:
            access.client()
        assert caught.value.what == "cw: the kubeconfig can't be used"
        assert said in caught.value.why
        assert "kubernetes:" in caught.value.hint


def test_an_empty_kubeconfig_variable_is_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    with pytest.raises(CredentialsError) as caught:
        ClusterAccess("cw").client()
    assert "~/.kube/config" in caught.value.why
    written(tmp_path / ".kube" / "config", kubeconfig("a", current="a"))
    assert server(ClusterAccess("cw")) == "http://a"
    monkeypatch.setenv("KUBECONFIG", ":")
    with pytest.raises(CredentialsError) as caught:
        ClusterAccess("cw").client()
    assert "there is no kubeconfig at ':' ($KUBECONFIG)" in caught.value.why


def test_a_credential_program_that_is_not_there_is_a_matter_of_credentials() -> None:
    with pytest.raises(CredentialsError) as caught, translate_errors("cw"):
        raise CredentialError("credential program cw-login: No such file or directory")
    assert "cw-login" in caught.value.why


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsError),
        (403, CredentialsError),
        (404, MeshError),
        (422, MeshError),
        (408, BusyError),
        (429, BusyError),
        (500, BusyError),
        (502, UnreachableError),
        (503, UnreachableError),
        (504, UnreachableError),
    ],
)
def test_what_an_api_server_answers_tells_whether_asking_again_can_help(status: int, kind: type[MeshError]) -> None:
    with pytest.raises(MeshError) as caught, translate_errors("cw"):
        raise ApiError(status, "no")
    assert type(caught.value) is kind


def test_an_api_server_that_breaks_off_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="does not answer") as caught, translate_errors("cw"):
        raise NoAnswerError("https://cw", "reset")
    assert caught.value.why == "reset"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("handshake", ssl.SSLCertVerificationError(1, "certificate verify failed: Hostname mismatch")),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)", None),
    ],
)
def test_a_certificate_that_is_refused_is_named_as_what_it_is(text: str, cause: Exception | None) -> None:
    with (
        pytest.raises(CredentialsError, match="API server of cw: the certificate was refused") as caught,
        translate_errors("cw"),
    ):
        raise NoAnswerError("https://cw", text) from cause
    assert caught.value.why == str(cause or text)
    assert "check the certificate" in caught.value.hint


def test_a_connection_that_ends_within_tls_is_no_certificate() -> None:
    with pytest.raises(UnreachableError), translate_errors("cw"):
        raise NoAnswerError("https://cw", "handshake") from ssl.SSLEOFError(8, "EOF occurred in violation of protocol")


@pytest.mark.parametrize("content", [b"just text", b"a: [", b"\xff\x80\x81"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kc"
    file.write_bytes(content)
    with pytest.raises(CredentialsError) as caught:
        ClusterAccess("dc1", str(file)).client()
    assert caught.value.why.startswith(f"{file} is no kubeconfig: ")


@pytest.mark.parametrize("key", ["certificate-authority", "client-certificate", "client-key", "tokenFile"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_a_kubeconfig_names_is_named_with_it(tmp_path: Path, key: str, content: str | None) -> None:
    """Beside a kubeconfig that comes first in $KUBECONFIG and has no part in it."""
    other = written(tmp_path / "other" / "config", {**kubeconfig("b"), "users": []})
    (tmp_path / "there.pem").write_text("")
    files = {"client-certificate": "../there.pem", "client-key": "../there.pem"} if key.startswith("client-") else {}
    made = kubeconfig("a", server="https://a", current="a", **files)
    entry = made["clusters"][0]["cluster"] if key == "certificate-authority" else made["users"][0]["user"]
    entry[key] = "pki/wrong"
    file = written(tmp_path / "own" / "config", made)
    if content is not None:
        written(tmp_path / "own" / "pki" / "wrong", content)
        if key == "tokenFile":
            return  # any text is a token
    with pytest.raises(CredentialsError) as caught:
        ClusterAccess("dc1", f"{other}:{file}").client()
    assert str(tmp_path / "own" / "pki" / "wrong") in caught.value.why
    assert str(file) in caught.value.why
    assert key in caught.value.why
    if content is None:
        with pytest.raises(ProviderError) as refused:
            of_provider.load(f"{other}:{file}", context="", cluster="")
        assert f"{tmp_path / 'own' / 'pki' / 'wrong'}, the {key} of {file}: No such file" in str(refused.value)


def test_data_in_a_kubeconfig_wins_over_a_file_that_is_gone(tmp_path: Path) -> None:
    made = kubeconfig("a", server="http://a", current="a")
    made["clusters"][0]["cluster"] |= {"certificate-authority": "gone", "certificate-authority-data": "eA=="}
    file = written(tmp_path / "config", made)
    assert of_provider.load(str(file), context="", cluster="").server == "http://a"
