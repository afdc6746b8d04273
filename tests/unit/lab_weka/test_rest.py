"""The lab's REST API of WEKA: who may call, object stores, snapshots from one cluster to another, licences."""

from __future__ import annotations

import shutil
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from meshctl.lab.weka import credentials
from meshctl.lab.weka.api import system
from meshctl.lab.weka.api.server import Api, serve
from meshctl.lab.weka.api.system import Bucket, System
from meshctl.lab.weka.api.uploads import ObjectStoreError

GIB = 1024**3
STORE: dict[str, Any] = {
    "name": "shared",
    "obs_site": "local",
    "hostname": "s3.example.com",
    "port": 80,
    "bucket": "moves",
    "auth_method": "AWSSignature4",
    "access_key_id": "right",
    "secret_key": "right",
}


class Objects:
    """The buckets of one object store, shared by all clusters."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def open(self, bucket: Bucket) -> Objects:
        return self if bucket.access_key == "right" else Refusing()

    def check(self) -> None:
        pass

    def put_file(self, key: str, path: Path) -> None:
        self.data[key] = path.read_bytes()

    def get_file(self, key: str, path: Path) -> None:
        path.write_bytes(self.get(key))

    def put(self, key: str, data: bytes) -> None:
        self.data[key] = data

    def get(self, key: str) -> bytes:
        if key not in self.data:
            raise ObjectStoreError("404")
        return self.data[key]

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.data if key.startswith(prefix)]

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            del self.data[key]


class Refusing(Objects):
    def check(self) -> None:
        raise ObjectStoreError("403 Forbidden")


class Cluster:
    """One system with its API, and an administrator who has logged in."""

    def __init__(self, root: Path, name: str, objects: Objects, others: list[System], **values: Any) -> None:
        self.system = System(
            root / name, name, system.new_uid(), capacity_bytes=100 * GIB, **{"version": "4.4.21.2", **values}
        )
        for role in (credentials.ADMIN, credentials.CSI):
            account = credentials.Account(role.lower(), "secret", role)
            self.system.accounts[f"Root/{account.username}"] = account
        others.append(self.system)
        self.api = Api(self.system, lambda: others, objects.open)
        self.token = self.log_in("clusteradmin")

    def log_in(self, username: str) -> str:
        body = {"username": username, "password": "secret"}
        status, answer = self.api.answer("POST", "/api/v2/login", body)
        assert status == 200
        return str(answer["data"]["access_token"])

    def call(self, method: str, path: str, **body: Any) -> Any:
        status, answer = self.api.answer(method, f"/api/v2/{path}", body, self.token)
        assert status == 200, answer
        return answer["data"]

    def refused(self, method: str, path: str, token: str | None = None, **body: Any) -> tuple[int, str]:
        status, answer = self.api.answer(method, f"/api/v2/{path}", body, self.token if token is None else token)
        return status, str(answer.get("message", answer.get("data")))

    def file_system(self, name: str = "data", **values: Any) -> str:
        body = {"name": name, "group_name": "default", "total_capacity": 10 * GIB, **values}
        return str(self.call("POST", "fileSystems", **body)["uid"])

    def folder(self, uid: str) -> Path:
        return self.system.data_of(self.system.file_systems[uid])

    def uploaded(self, uid: str, name: str) -> str:
        """A snapshot and its upload: the locator."""
        snapshot = self.call("POST", "snapshots", fs_uid=uid, name=name)["uid"]
        return str(self.call("POST", f"snapshots/{snapshot}/upload")["locator"])

    def download(self, locator: str, **more: Any) -> dict[str, Any]:
        body = {"name": "data", "group_name": "default", "total_capacity": 10 * GIB, "ssd_capacity": 10 * GIB}
        return {**body, "object_storage": "shared", "locator": locator, **more}


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def pair(tmp_path: Path, objects: Objects) -> tuple[Cluster, Cluster]:
    others: list[System] = []
    return Cluster(tmp_path, "one", objects, others), Cluster(tmp_path, "two", objects, others)


@pytest.fixture
def one(pair: tuple[Cluster, Cluster]) -> Cluster:
    return pair[0]


def with_data(cluster: Cluster) -> str:
    """A file system with a file, attached to the store."""
    cluster.call("POST", "objectStoreBuckets", **STORE)
    uid = cluster.file_system()
    cluster.call("POST", f"fileSystems/{uid}/objectStoreBuckets", obs_name="shared")
    (cluster.folder(uid) / "deep").mkdir()
    (cluster.folder(uid) / "deep" / "a.txt").write_text("first")
    return uid


def test_a_wrong_user_or_password_is_refused(one: Cluster) -> None:
    for body in ({"username": "clusteradmin", "password": "wrong"}, {"username": "nobody", "password": "secret"}, {}):
        assert one.api.answer("POST", "/api/v2/login", body) == (401, {"data": "Unauthorized"})
    assert one.refused("GET", "cluster", token="")[0] == 401
    assert one.refused("GET", "cluster", token="made-up")[0] == 401


def test_a_refresh_token_gives_new_tokens_once(one: Cluster) -> None:
    _, answer = one.api.answer("POST", "/api/v2/login", {"username": "csi", "password": "secret"})
    body = {"refresh_token": answer["data"]["refresh_token"]}
    assert one.api.answer("POST", "/api/v2/login/refresh", body)[0] == 200
    assert one.api.answer("POST", "/api/v2/login/refresh", body)[0] == 401


def test_a_token_expires(one: Cluster) -> None:
    """As those of the real API do, after five minutes."""
    one.call("GET", "cluster")
    one.api.sessions.clock = lambda: time.monotonic() + 301
    assert one.refused("GET", "cluster")[0] == 401


def test_the_drivers_account_makes_volumes_and_no_object_stores(one: Cluster) -> None:
    token = one.log_in("csi")
    assert one.refused("POST", "objectStoreBuckets", token, **STORE)[0] == 403
    assert one.refused("POST", "license", token, license="x")[0] == 403
    status, _ = one.api.answer(
        "POST", "/api/v2/fileSystems", {"name": "a", "group_name": "default", "total_capacity": GIB}, token
    )
    assert status == 200


def test_the_keys_of_an_object_store_are_tried(one: Cluster) -> None:
    status, message = one.refused(
        "POST", "objectStoreBuckets", **{**STORE, "secret_key": "x", "access_key_id": "wrong"}
    )
    assert status == 400
    assert "Failed to verify" in message
    made = one.call("POST", "objectStoreBuckets", **STORE)
    assert made["secret_key"] == "**********"
    assert "already exists" in one.refused("POST", "objectStoreBuckets", **STORE)[1]
    assert one.refused("POST", "objectStoreBuckets", **{**STORE, "name": "x", "obs_site": "moon"})[0] == 400
    assert one.refused("PUT", f"objectStoreBuckets/{made['uid']}", access_key_id="wrong")[0] == 400


def test_a_file_system_below_its_capacity_needs_an_object_store(one: Cluster) -> None:
    body: dict[str, Any] = {"name": "a", "group_name": "default", "total_capacity": 10 * GIB, "ssd_capacity": GIB}
    assert "needs an object store" in one.refused("POST", "fileSystems", **body)[1]
    one.call("POST", "objectStoreBuckets", **STORE)
    made = one.call("POST", "fileSystems", **body, obs_name="shared")
    assert [each["name"] for each in made["obs_buckets"]] == ["shared"]
    assert (made["total_budget"], made["ssd_budget"]) == (10 * GIB, GIB)
    bucket = made["obs_buckets"][0]["uid"]
    assert "is tiered" in one.refused("DELETE", f"fileSystems/{made['uid']}/objectStoreBuckets/{bucket}")[1]
    assert "is attached to a" in one.refused("DELETE", f"objectStoreBuckets/{bucket}")[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"total_capacity": "1TiB"}, "Not enough SSD capacity"),
        ({"group_name": "gold"}, "group gold does not exist"),
        ({"encrypted": True}, "needs a KMS"),
        ({"name": "x" * 33}, "more than 32 characters"),
        ({"total_capacity": "a lot"}, "not a capacity"),
        ({"name": ""}, "missing parameters: name"),
    ],
)
def test_what_no_file_system_can_be(one: Cluster, change: dict[str, Any], words: str) -> None:
    body = {"name": "a", "group_name": "default", "total_capacity": GIB, **change}
    status, message = one.refused("POST", "fileSystems", **body)
    assert (status, words in message) == (400, True), message


def test_a_snapshot_moves_a_file_system_and_a_later_one_the_changes(pair: tuple[Cluster, Cluster]) -> None:
    source, target = pair
    uid = with_data(source)
    (source.folder(uid) / "link").symlink_to("deep/a.txt")
    first = source.uploaded(uid, "first")
    target.call("POST", "objectStoreBuckets", **STORE)
    made = target.call("POST", "fileSystems/download", **target.download(first))
    there = target.folder(made["uid"])
    assert (there / "deep" / "a.txt").read_text() == "first"
    assert (there / "link").readlink() == Path("deep/a.txt")

    (source.folder(uid) / "deep" / "a.txt").write_text("second")
    (source.folder(uid) / "new").write_text("new")
    second = source.uploaded(uid, "second")
    snapshot = target.call("POST", "snapshots/download", fs_uid=made["uid"], locator=second)
    assert (there / "deep" / "a.txt").read_text() == "first"  # it is downloaded, and not restored yet
    before = there.stat().st_ino
    target.call("POST", f"snapshots/{made['uid']}/{snapshot['uid']}/restore")
    assert (there / "deep" / "a.txt").read_text() == "second"
    assert (there / "new").read_text() == "new"
    assert there.stat().st_ino == before  # pods that have it mounted see it
    status, message = target.refused("POST", "snapshots/download", fs_uid=made["uid"], locator=first)
    assert (status, "a later one was downloaded before" in message) == (400, True)


def test_a_download_is_from_a_local_bucket_only(pair: tuple[Cluster, Cluster]) -> None:
    source, target = pair
    locator = source.uploaded(with_data(source), "s")
    target.call("POST", "objectStoreBuckets", **{**STORE, "obs_site": "remote"})
    status, message = target.refused("POST", "fileSystems/download", **target.download(locator))
    assert (status, "is remote" in message) == (400, True)


def test_an_older_version_can_not_download(tmp_path: Path, objects: Objects) -> None:
    others: list[System] = []
    source = Cluster(tmp_path, "one", objects, others, version="4.4.21.2")
    older = Cluster(tmp_path, "two", objects, others, version="4.4.9.150-k8s.2")
    newer = Cluster(tmp_path, "three", objects, others, version="5.0.1")
    locator = source.uploaded(with_data(source), "s")
    for target in (older, newer):
        target.call("POST", "objectStoreBuckets", **STORE)
    assert "uploaded by version 4.4.21.2" in older.refused("POST", "fileSystems/download", **older.download(locator))[1]
    newer.call("POST", "fileSystems/download", **newer.download(locator))


def test_encrypted_data_needs_the_same_key(tmp_path: Path, objects: Objects) -> None:
    others: list[System] = []
    source = Cluster(tmp_path, "one", objects, others, kms="vault|transit|weka")
    other = Cluster(tmp_path, "two", objects, others, kms="vault|transit|other")
    same = Cluster(tmp_path, "three", objects, others, kms="vault|transit|weka")
    for each in (source, other, same):
        each.call("POST", "objectStoreBuckets", **STORE)
    uid = source.file_system(encrypted=True)
    source.call("POST", f"fileSystems/{uid}/objectStoreBuckets", obs_name="shared")
    locator = source.uploaded(uid, "s")
    assert "another KMS master key" in other.refused("POST", "fileSystems/download", **other.download(locator))[1]
    assert same.call("POST", "fileSystems/download", **same.download(locator))["is_encrypted"]


def test_a_download_needs_its_space_and_a_locator_that_exists(pair: tuple[Cluster, Cluster]) -> None:
    source, target = pair
    locator = source.uploaded(with_data(source), "s")
    target.call("POST", "objectStoreBuckets", **STORE)
    target.system.capacity_bytes = GIB
    assert "Not enough SSD" in target.refused("POST", "fileSystems/download", **target.download(locator))[1]
    target.system.capacity_bytes = 100 * GIB
    less = target.download(locator, total_capacity=GIB, ssd_capacity=GIB)
    assert "less than that of the snapshot" in target.refused("POST", "fileSystems/download", **less)[1]
    assert "No snapshot at x" in target.refused("POST", "fileSystems/download", **target.download("x"))[1]
    assert target.system.file_systems == {}


def test_writable_snapshots_and_file_systems_without_a_store_are_not_uploaded(one: Cluster) -> None:
    uid = one.file_system()
    snapshot = one.call("POST", "snapshots", fs_uid=uid, name="a")["uid"]
    assert "no object store bucket" in one.refused("POST", f"snapshots/{snapshot}/upload")[1]
    writable = one.call("POST", "snapshots", fs_uid=uid, name="b", is_writable=True)["uid"]
    assert "is writable" in one.refused("POST", f"snapshots/{writable}/upload")[1]


@pytest.mark.parametrize("is_detached", [False, True])
def test_deleting_an_uploaded_snapshot_breaks_what_still_reads_from_it(
    pair: tuple[Cluster, Cluster], objects: Objects, is_detached: bool
) -> None:
    source, target = pair
    uid = with_data(source)
    locator = source.uploaded(uid, "s")
    target.call("POST", "objectStoreBuckets", **STORE)
    made = target.call("POST", "fileSystems/download", **target.download(locator))
    if is_detached:
        target.call("DELETE", f"fileSystems/{made['uid']}/objectStoreBuckets/{made['obs_buckets'][0]['uid']}")
    (snapshot,) = source.call("GET", "snapshots")
    source.call("DELETE", f"snapshots/{snapshot['uid']}")
    assert objects.keys(locator) == []
    after = target.call("GET", f"fileSystems/{made['uid']}")
    assert after["status"] == ("READY" if is_detached else "UNAVAILABLE")
    assert (target.folder(made["uid"]) / "deep").exists() is is_detached
    assert (source.folder(uid) / "deep" / "a.txt").exists()


def test_a_licence_is_of_one_cluster(pair: tuple[Cluster, Cluster]) -> None:
    one, other = pair
    assert [each["type"] for each in one.call("GET", "alerts")] == ["NoClusterLicense"]
    licence = f"licence of {one.call('GET', 'cluster')['guid']}"
    status, message = other.refused("POST", "license", license=licence)
    assert (status, other.system.guid in message) == (400, True)
    one.call("POST", "license", license=licence)
    assert one.call("GET", "alerts") == []
    one.call("DELETE", "license")
    assert one.call("GET", "license")["mode"] == "Unlicensed"


def test_quotas_and_users_are_kept(one: Cluster) -> None:
    uid = one.file_system()
    inode = one.call("GET", f"fileSystems/{uid}/resolvePath?path=/")["inode_id"]
    one.call("PUT", f"fileSystems/{uid}/quota/{inode}", hard_limit_bytes=GIB)
    assert one.call("GET", f"fileSystems/{uid}/quota/{inode}")["hard_limit_bytes"] == GIB
    one.call("POST", "users", username="tool", password="Long-enough-1", role="csi")
    again = system.load(one.system.folder)
    assert again is not None
    assert again == one.system
    assert {"username": "tool", "role": "CSI", "org_name": "Root", "source": "Internal"} in one.call("GET", "users")


def test_what_is_not_played_says_so(one: Cluster) -> None:
    assert one.refused("GET", "interfaceGroups") == (404, "GET interfaceGroups is not played by the lab")
    assert one.refused("GET", "fileSystems/none")[0] == 404


def test_it_is_served_by_tls(one: Cluster, tmp_path: Path) -> None:
    server = serve(one.api, tmp_path / "certificates", "127.0.0.1", 0)
    try:
        port = server.server_address[1]
        url = f"https://127.0.0.1:{port}/api/v2"
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        with httpx.Client(verify=unchecked) as client:
            answer = client.post(f"{url}/login", json={"username": "clusteradmin", "password": "secret"})
            headers = {"Authorization": f"Bearer {answer.json()['data']['access_token']}"}
            assert client.get(f"{url}/cluster", headers=headers).json()["data"]["guid"] == one.system.guid
            assert client.post(f"{url}/login", content=b"[1]").status_code == 400
        with pytest.raises(httpx.ConnectError):  # nobody has signed its certificate but the lab
            httpx.get(f"{url}/cluster", headers=headers)
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(tmp_path / "certificates")
