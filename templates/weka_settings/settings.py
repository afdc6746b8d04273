"""Sets what a WEKA cluster knows by its REST interface alone: licence, object stores, tiered file systems. EDGE, but
for what is marked PURE.

Runs in a pod beside the cluster with nothing but Python's standard library: `meshctl.render.cluster.weka_settings` puts
this file into a ConfigMap, and the settings into variables. Running it again changes nothing but what the settings say
differently. It deletes nothing, and makes nothing smaller. Paths and fields: docs of github.com/weka/RESTapi_client at
25799c1e and 6325570c; pkg/wekafs/apiclient of github.com/weka/csi-wekafs for the login and the envelope `data`.

WEKA_SETTINGS is JSON:

    {"object_stores": [{"name": "cold", "bucket": "b", "region": "eu-west-1", "endpoint": "https://s3..."}],
     "file_systems": [{"name": "m-data", "group": "default", "total_bytes": 1, "ssd_bytes": 1, "object_store": "cold",
                       "encrypted": false}]}

An empty `endpoint` is the one of STORE_ENDPOINT. Keys of the stores are in STORE_ACCESS_KEY_ID and STORE_SECRET_KEY;
without them the cluster's machines use their own identity. WEKA_LICENCE is the licence, if there is one.

A quota is not set: each file system belongs to one volume alone, and its size is the limit.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ASK_S = 30.0  # how long one answer may take
PATIENCE_S = 600.0  # how long the cluster may give none, before and between the steps
PAUSE_S = 5.0
BUSY = (429, 500, 502, 503, 504)
ROOT = "Root"  # the organization that each cluster has

# the last is of a server that ends in the middle of its answer, or does not speak HTTP
UNANSWERED = (OSError, ValueError, http.client.HTTPException)
Json = dict[str, Any]


class RefusedError(Exception):
    """The cluster said no, or what it has is not what the settings say. Trying again would not help."""


class SilentError(Exception):
    """The cluster gave no answer for longer than `PATIENCE_S`."""


@dataclass(frozen=True)
class Account:
    user: str
    password: str
    organization: str = ROOT


@dataclass(frozen=True)
class Settings:
    """`urls`: the cluster's management addresses, of which any answers. `certificate`: of its authority, in PEM; "" for
    a cluster with a certificate of its own making, which nobody can check."""

    urls: tuple[str, ...]
    account: Account
    certificate: str
    licence: str
    object_stores: tuple[Json, ...]
    file_systems: tuple[Json, ...]


def read_settings(variables: Mapping[str, str]) -> Settings:
    """PURE. Raises: KeyError, ValueError."""
    declared = json.loads(variables["WEKA_SETTINGS"])
    scheme = variables.get("WEKA_SCHEME") or "https"
    endpoints = [each.strip() for each in variables["WEKA_ENDPOINTS"].split(",") if each.strip()]
    if not endpoints:
        raise ValueError("WEKA_ENDPOINTS names no address")
    stores = tuple(
        bucket_fields(
            store,
            variables.get("STORE_ENDPOINT", ""),
            variables.get("STORE_ACCESS_KEY_ID", ""),
            variables.get("STORE_SECRET_KEY", ""),
        )
        for store in declared["object_stores"]
    )
    return Settings(
        urls=tuple(f"{scheme}://{endpoint}/api/v2" for endpoint in endpoints),
        account=Account(variables["WEKA_USER"], variables["WEKA_PASSWORD"], variables.get("WEKA_ORGANIZATION") or ROOT),
        certificate=variables.get("WEKA_CA", ""),
        licence=variables.get("WEKA_LICENCE", "").strip(),
        object_stores=stores,
        file_systems=tuple(declared["file_systems"]),
    )


def bucket_fields(store: Json, endpoint: str, access_key: str, secret_key: str) -> Json:
    """An object store as the REST interface takes it. PURE. Raises: ValueError for an endpoint that is none."""
    parts = urllib.parse.urlsplit(store["endpoint"] or endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the object store {store['name']} has no endpoint that begins with https:// or http://")
    keys = {"access_key_id": access_key, "secret_key": secret_key} if access_key else {}
    return {
        "name": store["name"],
        "obs_site": "local",  # a file system is tiered to a local one, and downloaded from one
        "protocol": parts.scheme.upper(),
        "hostname": parts.hostname,
        "port": parts.port or (443 if parts.scheme == "https" else 80),
        "bucket": store["bucket"],
        "region": store["region"],
        "auth_method": "AWSSignature4",
        **keys,
    }


class Rest:
    """The cluster's REST interface. A call is tried at each address, and again until `PATIENCE_S` is over."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._urls = list(settings.urls)
        self._account = settings.account
        self._clock, self._pause = clock, pause
        self._token = ""
        self._is_to_renew = True  # a token that is refused right after a login has not expired
        self._tls = ssl.create_default_context(cadata=settings.certificate or None)
        if not settings.certificate:
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        """What the answer has as `data`. Raises: RefusedError, SilentError."""
        deadline = self._clock() + PATIENCE_S
        while True:
            try:
                if not self._token:
                    self._token = self._log_in()
                answer = self._once(method, path, body)
                self._is_to_renew = True
                return answer
            except urllib.error.HTTPError as error:
                has_expired = error.code == http.client.UNAUTHORIZED and bool(self._token)
                if has_expired and self._is_to_renew:
                    self._token, self._is_to_renew = "", False
                    continue
                if error.code not in BUSY:
                    raise RefusedError(f"{method} {path}: {_words(error)}") from None
                why = f"HTTP {error.code}"
            except UNANSWERED as error:
                why = str(error)
            if self._clock() >= deadline:
                raise SilentError(f"no answer from {', '.join(self._urls)}: {why}")
            self._urls.append(self._urls.pop(0))
            self._pause(PAUSE_S)

    def _log_in(self) -> str:
        account = self._account
        body = {"username": account.user, "password": account.password, "org": account.organization}
        answer = self._once("POST", "login", body, with_token=False)
        if not isinstance(answer, dict) or not answer.get("access_token"):
            raise ValueError("the answer to the login has no token")  # as one that is no JSON: it may be a proxy's
        return str(answer["access_token"])

    def _once(self, method: str, path: str, body: Json | None, *, with_token: bool = True) -> Any:
        headers = {"Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self._token}"} if with_token else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        url = f"{self._urls[0]}/{path}"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 (http or https)
        with urllib.request.urlopen(request, timeout=ASK_S, context=self._tls) as response:  # noqa: S310
            answer = json.load(response) or {}
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        return answer.get("data")


def _words(error: urllib.error.HTTPError) -> str:
    """What the cluster says of a refusal, without what was sent."""
    try:
        answer = json.loads(error.read())
        reason = answer.get("message") or answer.get("data") or ""
    except UNANSWERED:
        reason = ""
    return f"HTTP {error.code} {reason or error.reason}".strip()


def set_licence(rest: Rest, licence: str) -> str:
    """Raises: RefusedError with the GUID that the licence must be of, SilentError."""
    try:
        rest.call("POST", "license", {"license": licence})
    except RefusedError as error:
        guid = (rest.call("GET", "cluster") or {}).get("guid") or "unknown"
        raise RefusedError(
            f"the licence was refused ({error}): a licence is of one cluster, and this one's GUID is {guid}; get one"
            " for it at get.weka.io, and put it into the Secret"
        ) from None
    return "the licence is set"


def ensure_store(rest: Rest, wanted: Json) -> str:
    """Raises: RefusedError, also where the name stands for another bucket already; SilentError."""
    current = _named(rest.call("GET", "objectStoreBuckets"), wanted["name"])
    if current is None:
        rest.call("POST", "objectStoreBuckets", wanted)
        return f"object store {wanted['name']}: made, to bucket {wanted['bucket']} at {wanted['hostname']}"
    places = [(each.get("hostname"), each.get("bucket")) for each in (current, wanted)]
    if places[0] != places[1]:
        raise RefusedError(
            f"object store {wanted['name']} is bucket {places[0][1]} at {places[0][0]}, and the mesh says bucket"
            f" {places[1][1]} at {places[1][0]}: what is tiered there would be lost; give the storage another name"
        )
    if "access_key_id" in wanted:  # nobody can tell whether its secret key is still this one
        keys = {key: wanted[key] for key in ("access_key_id", "secret_key")}
        rest.call("PUT", f"objectStoreBuckets/{current['uid']}", keys)
    return f"object store {wanted['name']}: as it should be"


def ensure_file_system(rest: Rest, wanted: Json) -> str:
    """Raises: RefusedError, SilentError."""
    name, store = wanted["name"], wanted["object_store"]
    current = _named(rest.call("GET", "fileSystems"), name)
    if current is None:
        rest.call("POST", "fileSystems", new_file_system(wanted))
        return f"file system {name}: made, tiered to {store}"
    uid, changes = current["uid"], []
    attached = {each.get("name") for each in current.get("obs_buckets") or current.get("object_storages") or ()}
    if store not in attached:
        rest.call("POST", f"fileSystems/{uid}/objectStoreBuckets", {"obs_name": store, "obs_mode": "writable"})
        changes.append(f"attached to {store}")
    growth = growth_of(current, wanted)  # last: beyond its drives a file system grows only once it is attached
    if growth:
        rest.call("PUT", f"fileSystems/{uid}", growth)
        changes.append("grown")
    return f"file system {name}: {', '.join(changes) or 'as it should be'}"


def new_file_system(wanted: Json) -> Json:
    """PURE."""
    encrypted = {"encrypted": True} if wanted["encrypted"] else {}
    return {
        "name": wanted["name"],
        "group_name": wanted["group"],
        "total_capacity": wanted["total_bytes"],
        "ssd_capacity": wanted["ssd_bytes"],
        "obs_name": wanted["object_store"],
        **encrypted,
    }


def growth_of(current: Json, wanted: Json) -> Json:
    """The sizes that are larger than what is there; nothing is made smaller. PURE."""
    total, ssd = int(current.get("total_budget") or 0), int(current.get("ssd_budget") or 0)
    if wanted["total_bytes"] <= total and wanted["ssd_bytes"] <= ssd:
        return {}
    return {"total_capacity": max(total, wanted["total_bytes"]), "ssd_capacity": max(ssd, wanted["ssd_bytes"])}


def _named(items: Sequence[Json] | None, name: str) -> Json | None:
    return next((each for each in items or () if each.get("name") == name), None)


def apply(rest: Rest, settings: Settings, say: Callable[[str], None]) -> None:
    """All of the settings, each after those that it needs. Raises: RefusedError, SilentError."""
    if settings.licence:
        say(set_licence(rest, settings.licence))
    for store in settings.object_stores:
        say(ensure_store(rest, store))
    for system in settings.file_systems:
        say(ensure_file_system(rest, system))


def main() -> int:
    try:
        settings = read_settings(os.environ)
        apply(Rest(settings), settings, lambda line: print(line, flush=True))  # noqa: T201 (the pod's log)
    except (RefusedError, SilentError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyError as error:
        print(f"the variable {error} is missing", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
