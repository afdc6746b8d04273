"""The order in which the Job that installs WEKA's operator calls helm and kubectl, which are played here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from meshctl.render.templates import FOLDER

SCRIPT = FOLDER / "weka_operator" / "install.sh"
NAMESPACE = "weka-operator-system"
CHART = "oci://registry.example.com/weka-operator"
# each notes how it was called; a namespace is not there yet, and helm knows the release in the state that is played
KUBECTL = """#!/bin/sh
echo "kubectl $*" >> "$CALLS"
case "$1 $2" in "get namespace") exit 1 ;; "create --filename") cat >> "$CALLS" ;; esac
"""
HELM = """#!/bin/sh
echo "helm $*" >> "$CALLS"
case "$1" in
  status) [ -n "$RELEASE" ] || exit 1; printf '%s' "$RELEASE" ;;
  show) [ -z "$NO_CHART" ] || exit 1; echo definitions ;;
  upgrade) [ -z "$NOT_READY" ] || exit 1 ;;
esac
"""
JQ = "#!/bin/sh\ncat\n"  # the state alone is played, without the document around it


def installed(tmp_path: Path, **played: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """How the script ended, and the calls that it made, without the names of files."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name, text in (("kubectl", KUBECTL), ("helm", HELM), ("jq", JQ)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    calls.touch()
    settings = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
        "CALLS": str(calls),
        "OPERATOR_CHART": CHART,
        "OPERATOR_VERSION": "v1.11.0",
        "OPERATOR_NAMESPACE": NAMESPACE,
        "OPERATOR_MARK": "meshctl-weka-operator",
        "MESH": "llm",
        "PULL_SECRET": "registry-quay",
        **dict.fromkeys(("RELEASE", "NO_CHART", "NOT_READY"), ""),
        **played,
    }
    ended = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env=settings, capture_output=True, text=True, check=False, timeout=60
    )
    lines = calls.read_text().replace(str(tmp_path), "").splitlines()
    return ended, [line for line in lines if line.startswith(("kubectl", "helm"))]


def beginnings(calls: list[str]) -> list[str]:
    return [" ".join(call.split()[:3]) for call in calls]


def test_definitions_come_before_the_release(tmp_path: Path) -> None:
    ended, calls = installed(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert beginnings(calls) == [
        "kubectl get namespace",
        "kubectl create --filename",
        "kubectl create secret",
        "kubectl apply --server-side",
        "helm show crds",
        "kubectl apply --server-side",
        "kubectl wait --for=condition=Established",
        "kubectl create configmap",
        "kubectl apply --server-side",
        "helm status weka-operator",
        "helm upgrade --install",
    ]
    assert calls[-1] == (
        f"helm upgrade --install weka-operator {CHART} --version v1.11.0 --namespace {NAMESPACE}"
        " --values /install/values.json --wait --timeout 8m"
    )
    assert any("configmap meshctl-weka-operator" in call and "mesh=llm" in call for call in calls)
    assert '"pod-security.kubernetes.io/enforce": "privileged"' in (tmp_path / "calls").read_text()


def test_without_a_pull_secret_none_is_copied(tmp_path: Path) -> None:
    _, calls = installed(tmp_path, PULL_SECRET="")
    assert not any("secret" in call for call in calls)


@pytest.mark.parametrize(
    ("release", "mended"),
    [
        ("pending-install", ["helm uninstall weka-operator"]),
        ("pending-upgrade", ["helm rollback weka-operator"]),
        ("pending-rollback", ["helm rollback weka-operator"]),
        ("deployed", []),
        ("failed", []),
    ],
)
def test_a_release_that_a_killed_job_has_locked_is_opened(tmp_path: Path, release: str, mended: list[str]) -> None:
    ended, calls = installed(tmp_path, RELEASE=release)
    assert ended.returncode == 0, ended.stderr
    after = beginnings(calls)[beginnings(calls).index("helm status weka-operator") + 1 :]
    assert after == [*mended, "helm upgrade --install"]


@pytest.mark.parametrize(
    ("played", "words"),
    [
        ({"NO_CHART": "1"}, f"the chart {CHART} v1.11.0 can't be read"),
        ({"NOT_READY": "1"}, "did not become ready: `kubectl get pods --namespace weka-operator-system` shows why"),
    ],
)
def test_its_last_line_says_what_failed(tmp_path: Path, played: dict[str, str], words: str) -> None:
    ended, _ = installed(tmp_path, **played)
    assert ended.returncode == 1
    assert words in ended.stderr.splitlines()[-1]
