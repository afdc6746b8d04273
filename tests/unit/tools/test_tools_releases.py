"""Where official releases lie for each kind of machine, and what their checksum files say."""

from __future__ import annotations

import pytest

from meshctl.tools.releases import ReleaseFile, checksum_in, release_file
from meshctl.tools.table import TOOLS

GITHUB = "https://github.com"
DIGEST = "ab" * 32


def files(name: str, system: str, arch: str, mirror: str = "") -> list[ReleaseFile]:
    tool = TOOLS[name]
    found = [release_file(item, tool.version, system=system, arch=arch, mirror=mirror) for item in tool.publishers]
    return [file for file in found if file is not None]


@pytest.mark.parametrize(("arch", "theirs"), [("amd64", "x64"), ("arm64", "arm64")])
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_pulumi_lies_in_two_places(system: str, arch: str, theirs: str) -> None:
    name = f"pulumi-v3.259.0-{system}-{theirs}.tar.gz"
    assert files("pulumi", system, arch) == [
        ReleaseFile(f"{base}/{name}", f"{base}/pulumi-3.259.0-checksums.txt", "pulumi/pulumi")
        for base in ("https://get.pulumi.com/releases/sdk", f"{GITHUB}/pulumi/pulumi/releases/download/v3.259.0")
    ]


@pytest.mark.parametrize(("system", "ending"), [("linux", "tar.gz"), ("darwin", "zip")])
def test_etcd_is_an_archive_of_the_systems_own_kind(system: str, ending: str) -> None:
    base, folder = f"{GITHUB}/etcd-io/etcd/releases/download/v3.6.15", f"etcd-v3.6.15-{system}-arm64"
    assert files("etcd", system, "arm64") == [
        ReleaseFile(f"{base}/{folder}.{ending}", f"{base}/SHA256SUMS", f"{folder}/etcd")
    ]


@pytest.mark.parametrize("name", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_kubernetes_servers_are_released_for_linux_only(name: str) -> None:
    url = f"https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/{name}"
    assert files(name, "linux", "arm64") == [ReleaseFile(url, f"{url}.sha256")]
    assert files(name, "darwin", "arm64") == []


def test_kubectl_is_released_for_macos_too() -> None:
    url = "https://dl.k8s.io/release/v1.36.3/bin/darwin/arm64/kubectl"
    assert files("kubectl", "darwin", "arm64") == [ReleaseFile(url, f"{url}.sha256")]


@pytest.mark.parametrize("name", ["kwok", "kwokctl"])
def test_kwok_has_no_checksums_so_it_comes_from_a_mirror_that_has(name: str) -> None:
    assert files(name, "linux", "amd64") == []
    url = f"https://mirror.test/x/github.com/kubernetes-sigs/kwok/releases/download/v0.7.0/{name}-linux-amd64"
    assert files(name, "linux", "amd64", "https://mirror.test/x/") == [ReleaseFile(url, f"{url}.sha256")]


@pytest.mark.parametrize("name", list(TOOLS))
def test_no_release_for_machines_that_no_publisher_knows(name: str) -> None:
    assert files(name, "linux", "riscv64", "https://mirror.test") == []
    assert files(name, "windows", "amd64", "https://mirror.test") == []


def test_a_mirror_has_the_publishers_host_as_its_first_folder() -> None:
    assert files("kubectl", "linux", "amd64", "https://mirror.test/m")[0] == ReleaseFile(
        "https://mirror.test/m/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubectl",
        "https://mirror.test/m/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubectl.sha256",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{DIGEST}\n", DIGEST),
        (f"{DIGEST.upper()}", DIGEST),
        (f"{'cd' * 32}  other.tar.gz\n{DIGEST}  a.tar.gz\n", DIGEST),
        (f"{DIGEST} *a.tar.gz\n", DIGEST),
        (f"{DIGEST}  ./a.tar.gz\r\n", DIGEST),
        (f"{DIGEST}  a.tar.gz.sig\n", ""),
        (f"{DIGEST}  x/a.tar.gz\n", ""),
        ("not-a-hash  a.tar.gz\n", ""),
        (f"{DIGEST[:40]}  a.tar.gz\n", ""),
        ("<html>log in first</html>", ""),
        ("", ""),
    ],
)
def test_what_a_checksum_file_says(text: str, said: str) -> None:
    assert checksum_in(text, "a.tar.gz") == said
