"""Organizations of WEKA: what the lab's REST API refuses, and what the program of the settings does with one there."""

from __future__ import annotations

import base64
import importlib
import io
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshctl import render
from meshctl.lab.weka import credentials
from meshctl.lab.weka.api import system
from meshctl.lab.weka.api.organization_calls import ROOT_UID
from meshctl.lab.weka.api.server import Api
from meshctl.lab.weka.api.system import Bucket, System
from meshctl.model.neural_mesh import WekaOrganization
from meshctl.render.templates import FOLDER
from tests.unit.weka_mesh import neural_mesh, with_mesh
from tests.unit.weka_mesh import system as file_system

GIB = 1024**3
ADMIN = {"username": "admin", "password": "Secret-1"}
BOSS = {"username": "boss", "password": "Secret-2", "org": "blue"}
Json = dict[str, Any]


class Store:
    """Of one that answers."""

    def __init__(self, _bucket: Bucket) -> None:
        pass

    def check(self) -> None:
        pass


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.system = System(folder, "m", system.new_uid(), capacity_bytes=2000 * GIB, version="4.4.21.2")
        self.system.accounts["Root/admin"] = credentials.Account("admin", "Secret-1", credentials.ADMIN)
        self.api = Api(self.system, lambda: [self.system], Store)  # type: ignore[arg-type]

    def ask(self, method: str, path: str, login: Json = ADMIN, /, **body: Any) -> tuple[int, Any]:
        status, answer = self.api.answer("POST", "/api/v2/login", dict(login))
        if status != 200:
            return status, "wrong user or password"
        status, answer = self.api.answer(method, f"/api/v2/{path}", body, answer["data"]["access_token"])
        return status, answer["data"] if status == 200 else answer["message"]

    def call(self, method: str, path: str, login: Json = ADMIN, /, **body: Any) -> Any:
        status, data = self.ask(method, path, login, **body)
        assert status == 200, data
        return data

    def names(self, login: Json = ADMIN) -> list[str]:
        return [each["name"] for each in self.call("GET", "fileSystems", login)]

    def make(self, name: str, gib: int, login: Json = ADMIN, **more: Any) -> tuple[int, Any]:
        return self.ask("POST", "fileSystems", login, name=name, group_name="default", total_capacity=gib * GIB, **more)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
def blue(cluster: Cluster) -> Cluster:
    """With an organization of that name."""
    cluster.call("POST", "organizations", name="blue", **{key: BOSS[key] for key in ("username", "password")})
    return cluster


def test_nobody_sees_into_an_organization(blue: Cluster) -> None:
    """Not even the cluster's administrator: docs.weka.io, Organizations management."""
    assert blue.make("shared", 10)[0] == 200
    assert blue.make("own", 10, BOSS)[0] == 200
    assert (blue.names(), blue.names(BOSS)) == (["shared"], ["own"])
    store = {"name": "cold", "hostname": "s3", "port": 443, "bucket": "b"}
    blue.call("POST", "objectStoreBuckets", BOSS, **store)
    assert blue.call("GET", "objectStoreBuckets") == []
    status, message = blue.make("tiered", 10, ssd_capacity=GIB, obs_name="cold")
    assert (status, message) == (404, "Object store bucket cold not found")
    (own,) = blue.call("GET", "fileSystems", BOSS)
    assert blue.ask("GET", f"fileSystems/{own['uid']}")[0] == 404
    snapshot = blue.call("POST", "snapshots", BOSS, fs_uid=own["uid"], name="first")
    assert blue.call("GET", "snapshots") == []
    assert blue.ask("DELETE", f"snapshots/{snapshot['uid']}")[0] == 404


@pytest.mark.parametrize("path", ["organizations", "license", "fileSystemGroups"])
def test_what_is_of_the_whole_cluster_is_its_administrators(blue: Cluster, path: str) -> None:
    assert blue.ask("POST", path, BOSS, name="x", license="x")[0] == 403


def test_a_quota_counts_what_is_allocated(blue: Cluster) -> None:
    (uid,) = (each["uid"] for each in blue.call("GET", "organizations") if each["name"] == "blue")
    blue.call("PUT", f"organizations/{uid}/limits", total_quota=30 * GIB)
    assert blue.make("a", 20, BOSS)[0] == 200
    status, message = blue.make("b", 20, BOSS)
    assert status == 400
    assert message.startswith("The total quota of organization blue is exceeded")
    (own,) = blue.call("GET", "fileSystems", BOSS)
    assert blue.ask("PUT", f"fileSystems/{own['uid']}", BOSS, total_capacity=40 * GIB)[0] == 400
    blue.call("PUT", f"organizations/{uid}/limits", total_quota=0, ssd_quota=25 * GIB)
    assert blue.make("b", 20, BOSS)[1].startswith("The SSD quota of organization blue is exceeded")
    assert blue.make("shared", 500)[0] == 200  # of Root, which has none
    assert blue.ask("PUT", f"organizations/{ROOT_UID}/limits", total_quota=1)[0] == 400


def test_what_organizations_and_users_can_not_be(blue: Cluster) -> None:
    user = {"username": "x", "password": "Secret-3"}
    for name in ("blue", "Root"):
        assert blue.ask("POST", "organizations", name=name, **user) == (400, f"Organization {name} already exists")
    for password in ("Short-1", "all-lower-1", "ALL-UPPER-1", "NoNumbers"):
        weak = {**user, "password": password}
        assert blue.ask("POST", "organizations", name="green", **weak)[0] == 400
        assert blue.ask("POST", "users", BOSS, role="csi", **weak)[0] == 400
    assert [each["name"] for each in blue.call("GET", "organizations")] == ["Root", "blue"]
    assert blue.ask("POST", "users", BOSS, role="ClusterAdmin", **user)[0] == 403
    blue.call("POST", "users", BOSS, role="csi", **user)
    assert {each["username"] for each in blue.call("GET", "users", BOSS)} == {"boss", "x"}
    assert {each["username"] for each in blue.call("GET", "users")} == {"admin"}


# The program


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    folder = str(FOLDER / "weka_settings")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("organization")
    finally:
        sys.path.remove(folder)
        for name in ("organization", "settings"):
            del sys.modules[name]


class Settings:
    """One run of the program after the other, with what the Job of a mesh is told. `secret`: what it has added."""

    def __init__(self, program: Any, cluster: Cluster) -> None:
        self.program, self.cluster = program, cluster
        self.secret: Json = {}

    def variables(self, organization: WekaOrganization, **more: str) -> dict[str, str]:
        deployed = with_mesh(neural_mesh(organization=organization), file_system(tier="weights"))
        made = {item.name: item.manifest for item in render.platform_objects(deployed)}
        (container,) = made["neuralmesh:settings"]["spec"]["template"]["spec"]["containers"]
        own = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        referenced = {
            "WEKA_ENDPOINTS": "10.0.0.1:14000,10.0.0.2:14000",
            "WEKA_SCHEME": "https",
            "WEKA_USER": "admin",
            "WEKA_PASSWORD": "Secret-1",
            "ORGANIZATION_ADMIN_PASSWORD": "Admin-1234",
            "ORGANIZATION_DRIVER_PASSWORD": "Driver-1234",
            "STORE_ENDPOINT": "https://s3.example.com",
            "STORE_ACCESS_KEY_ID": "AK",
            "STORE_SECRET_KEY": "SK",
        }
        assert referenced.keys() <= {each["name"] for each in container["env"]} | {"WEKA_SCHEME"}
        return {**own, **referenced, **more}

    def run(self, organization: WekaOrganization, **more: str) -> list[str]:
        variables = self.variables(organization, **more)
        said: list[str] = []
        settings = self.program.read_settings(variables)
        wanted = self.program.read_organization(variables)
        self.program.apply_in(wanted, settings, self.log_in, self.merge, said.append)
        return said

    def log_in(self, account: Any) -> Any:
        login = {"username": account.user, "password": account.password, "org": account.organization}
        return _Rest(self, login)

    def merge(self, path: str, change: Json) -> None:
        assert path == "/api/v1/namespaces/llm-prod/secrets/weka-organization-csi"
        decoded = {key: base64.b64decode(value).decode() for key, value in change["data"].items()}
        self.secret |= decoded


class _Rest:
    def __init__(self, settings: Settings, login: Json) -> None:
        self.settings, self.login = settings, login

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        status, data = self.settings.cluster.ask(method, path, self.login, **(body or {}))
        if status != 200:
            raise self.settings.program.RefusedError(f"{method} {path}: HTTP {status} {data}")
        return data


@pytest.fixture
def settings(program: Any, cluster: Cluster) -> Settings:
    return Settings(program, cluster)


RESEARCH = WekaOrganization(name="research", admin_secret="a", driver_secret="d", quota_gib=1500)
TENANT = {"username": "meshctl-admin", "password": "Admin-1234", "org": "research"}
DRIVER = {"username": "meshctl-csi", "password": "Driver-1234", "org": "research"}


def quotas(cluster: Cluster) -> tuple[int, int]:
    (made,) = (each for each in cluster.call("GET", "organizations") if each["name"] == "research")
    return made["total_quota"], made["ssd_quota"]


def test_all_of_the_mesh_is_made_inside(settings: Settings) -> None:
    cluster = settings.cluster
    assert settings.run(RESEARCH) == [
        "organization research: made",
        "user meshctl-csi: made",
        "the driver's Secret has the addresses of the cluster",
        "object store weights: made, to bucket llm-prod-dc1-weights at s3.example.com",
        "file system llm-prod-data: made, tiered to weights",
    ]
    assert (cluster.names(), cluster.names(TENANT)) == ([], ["llm-prod-data"])
    assert quotas(cluster) == (1500 * GIB, 0)
    assert {each["username"]: each["role"] for each in cluster.call("GET", "users", TENANT)} == {
        "meshctl-admin": "OrgAdmin",
        "meshctl-csi": "CSI",
    }
    assert settings.secret == {"endpoints": "10.0.0.1:14000,10.0.0.2:14000", "scheme": "https"}
    # as the driver does for a claim
    assert cluster.make("csivol-1", 100, DRIVER)[0] == 200


def test_a_second_run_adopts_what_is_there_and_sets_quotas_alone(settings: Settings) -> None:
    settings.run(RESEARCH)
    assert settings.run(RESEARCH)[:2] == ["organization research: as it should be", "user meshctl-csi: as it should be"]
    wider = RESEARCH.model_copy(update={"quota_gib": 1800, "drive_quota_gib": 1600})
    assert settings.run(wider)[0] == "organization research: other quotas"
    assert quotas(settings.cluster) == (1800 * GIB, 1600 * GIB)
    # what the mesh says nothing of stays
    assert settings.run(RESEARCH.model_copy(update={"quota_gib": 0}))[0] == "organization research: as it should be"
    assert quotas(settings.cluster) == (1800 * GIB, 1600 * GIB)


@pytest.mark.parametrize(
    ("changed", "user"),
    [("ORGANIZATION_ADMIN_PASSWORD", "meshctl-admin"), ("ORGANIZATION_DRIVER_PASSWORD", "meshctl-csi")],
)
def test_no_password_is_changed(settings: Settings, program: Any, changed: str, user: str) -> None:
    settings.run(RESEARCH)
    before = dict(settings.cluster.system.accounts)
    with pytest.raises(program.RefusedError) as refused:
        settings.run(RESEARCH, **{changed: "Another-1234"})
    assert f"its user {user} can't be used" in str(refused.value)
    assert "no password is changed here" in str(refused.value)
    assert "Another-1234" not in str(refused.value)
    assert settings.cluster.system.accounts == before


def test_an_organization_of_somebody_else_is_not_taken(settings: Settings, program: Any) -> None:
    settings.cluster.call("POST", "organizations", name="research", username="boss", password="Secret-2")
    with pytest.raises(program.RefusedError, match="its user meshctl-admin can't be used"):
        settings.run(RESEARCH)
    assert quotas(settings.cluster) == (0, 0)
    boss = {"username": "boss", "password": "Secret-2", "org": "research"}
    assert [each["username"] for each in settings.cluster.call("GET", "users", boss)] == ["boss"]


def test_a_user_of_another_role_is_none_for_the_driver(settings: Settings, program: Any) -> None:
    settings.cluster.call("POST", "organizations", name="research", **{k: TENANT[k] for k in ("username", "password")})
    user = {key: DRIVER[key] for key in ("username", "password")}
    settings.cluster.call("POST", "users", TENANT, role="ReadOnly", **user)
    with pytest.raises(program.RefusedError, match="has the role ReadOnly, and the CSI driver works by one with"):
        settings.run(RESEARCH)


def test_a_licence_that_is_refused_keeps_no_files_from_pods(settings: Settings, program: Any) -> None:
    with pytest.raises(program.RefusedError, match="the licence was refused"):
        settings.run(RESEARCH, WEKA_LICENCE="of another cluster")
    assert settings.secret["endpoints"] == "10.0.0.1:14000,10.0.0.2:14000"
    assert settings.cluster.names(TENANT) == ["llm-prod-data"]  # also the tiered ones


def test_the_secret_is_merged_with_the_account_of_the_pod(
    program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    (tmp_path / "ca.crt").write_text(trustme.CA().cert_pem.bytes().decode())
    monkeypatch.setattr(program, "ACCOUNT", tmp_path)
    requests: list[urllib.request.Request] = []

    def answer(request: urllib.request.Request, **_: Any) -> io.BytesIO:
        requests.append(request)
        if len(requests) > 1:
            raise urllib.error.HTTPError(request.full_url, 403, "Forbidden", Message(), None)
        return io.BytesIO(b"{}")

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    api = program.Api({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"})
    api.merge("/api/v1/namespaces/m/secrets/s", {"data": {"scheme": "aHR0cHM="}})
    (request,) = requests
    assert isinstance(request.data, bytes)
    assert (request.method, json.loads(request.data)) == ("PATCH", {"data": {"scheme": "aHR0cHM="}})
    assert request.full_url == "https://[fd00::1]:443/api/v1/namespaces/m/secrets/s?fieldManager=meshctl-weka-settings"
    assert request.headers["Authorization"] == "Bearer of-the-pod"
    assert request.headers["Content-type"] == "application/merge-patch+json"
    with pytest.raises(program.SilentError, match="the driver's Secret could not be changed: HTTP Error 403"):
        api.merge("/api/v1/namespaces/m/secrets/s", {})


def test_a_variable_that_is_missing_is_named(
    program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEKA_SETTINGS", json.dumps({"object_stores": [], "file_systems": []}))
    monkeypatch.delenv("WEKA_ENDPOINTS", raising=False)
    assert program.main() == 1
    assert capsys.readouterr().err == "the variable 'WEKA_ENDPOINTS' is missing\n"
