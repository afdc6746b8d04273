"""Where the official releases of the external programs lie: URLs, archive layouts and checksum files, as data. PURE.

Read by `table`, whose rows name their publishers, and by `download`, which fetches the files. The release and
its checksum file always come from the same place: both from the publisher, or both from the mirror.

A mirror has the publishers' layout, with the publisher's host as its first folder, as `wget --force-directories` makes
it: `https://dl.k8s.io/release/v1.36.3/...` lies at `<mirror>/dl.k8s.io/release/v1.36.3/...`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Publisher:
    """One place with the official releases of a program. In each text `{version}`, `{system}` (linux, darwin), `{arch}`
    (amd64, arm64) and `{format}` are filled in.

    `member` is the program's path inside the archive, "" when the file itself is the program. With `mirror_only` the
    publisher has no checksum for the file, so it is taken from mirrors only, which must have one.
    """

    base: str
    file: str
    checksums: str
    member: str = ""
    systems: tuple[str, ...] = ("linux", "darwin")
    arch_names: Mapping[str, str] = field(default_factory=dict)  # where the publisher calls amd64 or arm64 otherwise
    formats: Mapping[str, str] = field(default_factory=dict)  # ending of the archive, by system
    mirror_only: bool = False


@dataclass(frozen=True)
class ReleaseFile:
    """One file to download for this machine, and the checksum file of the same release."""

    url: str
    checksums_url: str
    member: str = ""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def release_file(publisher: Publisher, version: str, *, system: str, arch: str, mirror: str = "") -> ReleaseFile | None:
    """The file for this kind of machine; None where the publisher has none, or none that can be verified."""
    if system not in publisher.systems or arch not in ("amd64", "arm64") or (publisher.mirror_only and not mirror):
        return None
    values = {
        "version": version,
        "system": system,
        "arch": publisher.arch_names.get(arch, arch),
        "format": publisher.formats.get(system, ""),
    }
    base = publisher.base.format(**values)
    if mirror:
        base = f"{mirror.rstrip('/')}/{base.partition('://')[2]}"
    return ReleaseFile(
        f"{base}/{publisher.file.format(**values)}",
        f"{base}/{publisher.checksums.format(**values)}",
        publisher.member.format(**values),
    )


def checksum_in(text: str, file_name: str) -> str:
    """The sha256 of `file_name` according to a checksum file, "" when the file doesn't say.

    Two forms are in use: lines of `<hash>  <name>` as sha256sum and shasum write them, and the hash alone in a file of
    its own beside each program (dl.k8s.io).
    """
    if _SHA256.fullmatch(text.strip().lower()):
        return text.strip().lower()
    for line in text.splitlines():
        digest, _, name = line.strip().partition(" ")
        if name.strip().lstrip("*").removeprefix("./") == file_name and _SHA256.fullmatch(digest.lower()):
            return digest.lower()
    return ""


# Archive `pulumi/pulumi` inside `pulumi-v<version>-<system>-<x64|arm64>.tar.gz`; `pulumi-<version>-checksums.txt`,
# without the v, has sha256sum lines for all archives and lies beside them in both places. Pulumi's own npm wrapper
# asks get.pulumi.com first and GitHub second. Source: pulumi/pulumi .github/workflows/sign.yml (names and format of the
# checksum file), aquaproj/aqua-registry pkgs/pulumi/pulumi/registry.yaml (archive layout); read 2026-11-28.
def _pulumi(base: str) -> Publisher:
    return Publisher(
        base,
        "pulumi-v{version}-{system}-{arch}.tar.gz",
        "pulumi-{version}-checksums.txt",
        member="pulumi/pulumi",
        arch_names={"amd64": "x64"},
    )


PULUMI = (
    _pulumi("https://get.pulumi.com/releases/sdk"),
    _pulumi("https://github.com/pulumi/pulumi/releases/download/v{version}"),
)

# tar.gz for Linux, zip for macOS, each with a folder of the archive's own name; `SHA256SUMS` is made with
# `shasum -a 256`. Source: etcd-io/etcd scripts/release.sh and scripts/build-release.sh, aquaproj/aqua-registry
# pkgs/etcd-io/etcd/registry.yaml; read 2026-11-28.
ETCD = (
    Publisher(
        "https://github.com/etcd-io/etcd/releases/download/v{version}",
        "etcd-v{version}-{system}-{arch}.{format}",
        "SHA256SUMS",
        member="etcd-v{version}-{system}-{arch}/etcd",
        formats={"linux": "tar.gz", "darwin": "zip"},
    ),
)

# Bare programs, uploaded without any checksum file (kubernetes-sigs/kwok hack/releases.sh at v0.7.0), and v0.7.0 (of
# 2025-05-16) is older than the digests that GitHub computes for release files since 2025-06-03. So kwok is taken from
# a mirror that has `<file>.sha256` beside it, and else built from source, which go.sum verifies; read 2026-11-28.
_KWOK_BASE = "https://github.com/kubernetes-sigs/kwok/releases/download/v{version}"


def kwok(name: str) -> tuple[Publisher, ...]:
    file = f"{name}-{{system}}-{{arch}}"
    return (Publisher(_KWOK_BASE, file, f"{file}.sha256", mirror_only=True),)


def kubernetes(name: str) -> tuple[Publisher, ...]:
    """A program of a Kubernetes release: the bare program, and beside it `<name>.sha256` with the hash alone.

    The servers are released for Linux only, kubectl for macOS too. dl.k8s.io redirects to a content delivery network.
    Source: kubernetes.io "Install and Set Up kubectl on Linux" ("Validate the binary"), aquaproj/aqua-registry
    pkgs/kubernetes/kubernetes/{kube-apiserver,kubectl}/registry.yaml; read 2026-11-28.
    """
    systems = ("linux", "darwin") if name == "kubectl" else ("linux",)
    base = "https://dl.k8s.io/release/v{version}/bin/{system}/{arch}"
    return (Publisher(base, name, f"{name}.sha256", systems=systems),)
