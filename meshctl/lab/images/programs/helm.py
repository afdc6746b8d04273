"""What the lab runs for the program `helm` of `alpine/k8s`: installs of WEKA's operator, and no other chart. EDGE.

Started by `images.commands`. It makes the objects that `lab.weka.kinds.chart` has, by kubectl and as the pod's own
service account, so that a right that is missing is missing here, too; and the release's Secret, as Helm keeps it. Words
of errors and the form of a release: helm/helm 3.17, `pkg/action` and `pkg/storage/driver`.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from meshctl.lab.weka.kinds import chart, definitions

Object = dict[str, Any]
VERSION = "v3.17.3"
_RELEASE = "sh.helm.release.v1.{name}.v{number}"


class HelmError(Exception):
    """What Helm says on standard error."""


def main(words: Sequence[str]) -> int:
    try:
        return _run(_parsed(words))
    except HelmError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="helm")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version")
    shown = commands.add_parser("show")
    shown.add_argument("what", choices=["crds"])
    shown.add_argument("chart")
    shown.add_argument("--version", default="")
    for name in ("install", "upgrade"):
        put = commands.add_parser(name)
        put.add_argument("release")
        put.add_argument("chart")
        put.add_argument("--version", default="")
        put.add_argument("--install", "-i", action="store_true")
        put.add_argument("--create-namespace", action="store_true")
        put.add_argument("--values", "-f", action="append", default=[])
        put.add_argument("--set", action="append", default=[])
        put.add_argument("--wait", action="store_true")
        put.add_argument("--timeout", default="5m0s")
        for flag in ("--atomic", "--skip-crds", "--take-ownership", "--reuse-values", "--reset-values"):
            put.add_argument(flag, action="store_true")
        _common(put)
    for name in ("uninstall", "status", "rollback"):
        one = commands.add_parser(name)
        one.add_argument("release")
        one.add_argument("--wait", action="store_true")
        one.add_argument("--output", "-o", default="table")
        _common(one)
    return parser.parse_args(words)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--namespace", "-n", default="default")


def _run(given: argparse.Namespace) -> int:
    if given.command == "version":
        sys.stdout.write(f'version.BuildInfo{{Version:"{VERSION}"}}\n')
    elif given.command == "show":
        _pull(given.chart, given.version)
        yaml.safe_dump_all(definitions.all_definitions(), sys.stdout, sort_keys=False)
    elif given.command in ("install", "upgrade"):
        _put(given)
    elif given.command == "uninstall":
        _uninstall(given.release, given.namespace)
    elif given.command == "status":
        _status(given)
    else:
        _rollback(given.release, given.namespace)
    return 0


def _pull(name: str, version: str) -> str:
    """The version of the chart that is pulled. Raises: HelmError, as for what the registry does not have."""
    wanted = version or chart.NEWEST
    is_known = name.startswith("oci://") and name.rstrip("/").endswith(f"/{chart.CHART}")
    if not is_known or not chart.exists(wanted):
        raise HelmError(f"{name.removeprefix('oci://')}:{wanted}: not found")
    return wanted


def _put(given: argparse.Namespace) -> None:
    present = _release(given.release, given.namespace)
    if given.command == "install" and present:
        raise HelmError("INSTALLATION FAILED: cannot re-use a name that is still in use")
    if given.command == "upgrade" and not present and not given.install:
        raise HelmError(f'UPGRADE FAILED: "{given.release}" has no deployed releases')
    version = _pull(given.chart, given.version)
    if given.create_namespace and not _succeeds("get", "namespace", given.namespace):
        _kubectl("create", "namespace", given.namespace)
    release = chart.Release(given.namespace, version, _values(given))
    number = int(present.get("version", 0)) + 1
    _write_release(given.release, given.namespace, version, number, "pending-upgrade" if present else "pending-install")
    for item in chart.objects(release):
        _kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-", text=json.dumps(item)
        )
    if given.wait:
        deployment = f"deployment/{chart.MANAGER}"
        _kubectl("rollout", "status", deployment, f"--timeout={given.timeout}", "--namespace", given.namespace)
    _write_release(given.release, given.namespace, version, number, "deployed")
    sys.stdout.write(f"NAME: {given.release}\nNAMESPACE: {given.namespace}\nSTATUS: deployed\nREVISION: {number}\n")


def _values(given: argparse.Namespace) -> Object:
    values: Object = {}
    for file in given.values:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        values = _merged(values, yaml.safe_load(text) or {})
    for each in given.set:
        for pair in each.split(","):
            path, _, value = pair.partition("=")
            inner: Any = yaml.safe_load(value)
            for key in reversed(path.split(".")):
                inner = {key: inner}
            values = _merged(values, inner)
    return values


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Object:
    both = dict(one)
    for key, value in other.items():
        inner = both.get(key)
        both[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return both


def _uninstall(name: str, namespace: str) -> None:
    """Definitions stay, as Helm leaves them."""
    if not _release(name, namespace):
        raise HelmError(f"uninstall: Release not loaded: {name}: release: not found")
    for item in reversed(chart.objects(chart.Release(namespace, chart.NEWEST))):
        space = ["--namespace", namespace] if "namespace" in item["metadata"] else []
        _kubectl("delete", item["kind"], item["metadata"]["name"], "--ignore-not-found", *space)
    _kubectl("delete", "secret", "--namespace", namespace, "-l", f"owner=helm,name={name}")
    sys.stdout.write(f'release "{name}" uninstalled\n')


def _rollback(name: str, namespace: str) -> None:
    """To the release before; which objects differ between releases is not played."""
    present = _release(name, namespace)
    if not present:
        raise HelmError("release: not found")
    version = present["chart"]["metadata"]["appVersion"]
    _write_release(name, namespace, version, int(present["version"]) + 1, "deployed")
    sys.stdout.write("Rollback was a success! Happy Helming!\n")


def _status(given: argparse.Namespace) -> None:
    present = _release(given.release, given.namespace)
    if not present:
        raise HelmError("release: not found")
    if given.output == "json":
        sys.stdout.write(json.dumps(present))
    else:
        sys.stdout.write(
            f"NAME: {given.release}\nSTATUS: {present['info']['status']}\nREVISION: {present['version']}\n"
        )


def _release(name: str, namespace: str) -> Object:
    """The latest revision of a release; empty when there is none."""
    selector = ["-l", f"owner=helm,name={name}", "--namespace", namespace, "-o", "json"]
    secrets = json.loads(_kubectl("get", "secrets", *selector))["items"]
    if not secrets:
        return {}
    latest = max(secrets, key=lambda each: int(each["metadata"]["labels"]["version"]))
    packed = base64.b64decode(base64.b64decode(latest["data"]["release"]))
    document: Object = json.loads(gzip.decompress(packed))
    return document


def _write_release(name: str, namespace: str, version: str, number: int, status: str) -> None:
    about = {"name": chart.CHART, "version": version.removeprefix("v"), "appVersion": version}
    document = {
        "name": name,
        "namespace": namespace,
        "version": number,
        "info": {"status": status},
        "chart": {"metadata": about},
    }
    packed = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
    labels = {"owner": "helm", "name": name, "version": str(number), "status": status}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": _RELEASE.format(name=name, number=number), "namespace": namespace, "labels": labels},
        "stringData": {"release": packed},
    }
    _apply(secret)


def _apply(item: Object) -> None:
    _kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-", text=json.dumps(item))


def _succeeds(*words: str) -> bool:
    try:
        _kubectl(*words)
    except HelmError:
        return False
    return True


def _kubectl(*words: str, text: str = "") -> str:
    """What kubectl says. Raises: HelmError."""
    done = subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode != 0:
        raise HelmError(done.stderr.strip() or f"kubectl {words[0]} ended with {done.returncode}")
    return done.stdout
