"""What a WEKA cluster that is up keeps, whatever the files or a newer meshctl say; what can't be kept is a gap. PURE.

Called by `neural_mesh`. Its layout is fixed when it is formed. Its containers, and what its nodes are set up with, can
be changed; but a node that is made anew for that has empty drives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.model.deployment import Deployment, Gap, Pool
from meshctl.model.neural_mesh import NeuralMesh, NodeShare, WekaContainers, WekaEncryption
from meshctl.resolve.data import neural_mesh_sizing as sizing
from meshctl.words import pluralize

_FIXED = "which is fixed when a WEKA cluster is formed"
_ANOTHER = "another one needs another environment"


@dataclass(frozen=True)
class Formed:
    """`value`: as it was brought up last. `machine`: of the nodes whose drives it has; "" where nobody makes them."""

    value: NeuralMesh
    drives: WekaContainers
    compute: WekaContainers
    machine: str

    @property
    def sizes(self) -> sizing.FormedSizes:
        value = self.value
        return sizing.FormedSizes(
            layout=sizing.Layout(value.stripe_width, value.redundancy, value.hot_spare),
            drives=self.drives,
            compute=self.compute,
            client=value.client,
            share=value.shares[value.pool],
            has_client=value.pool in value.client_pools,
        )


@dataclass(frozen=True)
class Wanted:
    """What the files say now. `drives`: how many on a node, None where they do not say it. `organization`: its name, ""
    for WEKA's own."""

    pool: Pool
    protection: int
    drives: int | None
    drive_paths: tuple[str, ...]
    udp: bool
    devices: tuple[str, ...]
    encryption: WekaEncryption | None
    organization: str = ""


def formed(up: Deployment | None, *, nodes_are_made: bool) -> Formed | None:
    """The cluster that meshctl has made; one that exists is its owner's."""
    value = up.neural_mesh if up is not None else None
    if up is None or value is None or value.joined is not None or value.drives is None or value.compute is None:
        return None
    machines = {pool.name: pool.machine for pool in up.pools} if nodes_are_made else {}
    return Formed(value, value.drives, value.compute, machines.get(value.pool, ""))


def gap(name: str, wanted: Wanted, cluster: Formed) -> Gap | None:
    """The first thing that can't be changed."""
    differences = (*_of_layout(wanted, cluster), *_of_nodes(wanted, cluster), *_of_settings(wanted, cluster.value))
    if not differences:
        return None
    wish, best, hint = differences[0]
    return Gap(subject=f"storage/{name}", wanted=wish, best=best, hint=hint)


def _of_layout(wanted: Wanted, cluster: Formed) -> Iterator[tuple[str, str, str]]:
    """What is asked for, what is up, and what to write: as a `Gap` says it."""
    up = cluster.value
    if up.redundancy != wanted.protection:
        hint = f"write `protection: {up.redundancy}`; {_ANOTHER}"
        yield f"protection {wanted.protection}", f"what is up has {up.redundancy}, {_FIXED}", hint
    if up.pool != wanted.pool.name:
        hint = f"write `pool: {up.pool}`; its data can't be given to other nodes yet"
        yield f"the drives of pool {wanted.pool.name}", f"what is up is on those of pool {up.pool}", hint


def _of_nodes(wanted: Wanted, cluster: Formed) -> Iterator[tuple[str, str, str]]:
    pool, up = wanted.pool, cluster.value
    if cluster.machine and cluster.machine != pool.machine:
        hint = f"undo what has pool {pool.name} ask for other machines; its data can't be given to other nodes yet"
        yield f"the drives of {pool.machine}", f"what is up is on those of {cluster.machine}", hint
    if pool.nodes < up.nodes:
        best = f"the one that is up has {up.nodes}, and removing a node loses the data on its drives"
        hint = f"write `nodes: {up.nodes}`, or more; meshctl moves no data off a node before it goes"
        yield f"a WEKA cluster of {pluralize(pool.nodes, 'node')}", best, hint


def _of_settings(wanted: Wanted, up: NeuralMesh) -> Iterator[tuple[str, str, str]]:
    """Of `neuralMesh` in environments.yaml."""
    count = up.drives.drives if up.drives is not None else 0
    if wanted.drive_paths != up.drive_paths:
        before = f"`drives: [{', '.join(up.drive_paths)}]`" if up.drive_paths else "all that it can have"
        now = f"the drives {', '.join(wanted.drive_paths)}" if wanted.drive_paths else "drives that are not named"
        yield now, f"what is up was formed with {before}", "undo the change of `neuralMesh.drives`"
    if wanted.drives is not None and wanted.drives != count:
        best = f"what is up has {count} of each, {_FIXED}"
        yield pluralize(wanted.drives, "drive") + " of each node", best, f"write `neuralMesh: {{drives: {count}}}`"
    if wanted.udp != up.udp:
        best = f"what is up was formed with `udp: {str(up.udp).lower()}`, by which its nodes were set up"
        yield f"`udp: {str(wanted.udp).lower()}`", best, f"write `neuralMesh: {{udp: {str(up.udp).lower()}}}`"
    if wanted.devices != up.ethernet_devices:
        hint = f"write `neuralMesh: {{devices: [{', '.join(up.ethernet_devices)}]}}`"
        best = f"what is up was formed with {', '.join(up.ethernet_devices) or 'none that are named'}"
        yield f"the network devices {', '.join(wanted.devices) or 'that WEKA chooses'}", best, hint
    if wanted.encryption is not None and up.encryption is None:
        best = "what is up was formed without a key, and what is in it stays readable"
        yield "encrypted file systems", best, f"remove `neuralMesh.encryption`; {_ANOTHER}"
    if wanted.encryption is None and up.encryption is not None:
        best = "what is up was formed with a key, without which nothing in it can be read"
        yield "unencrypted file systems", best, f"leave `neuralMesh.encryption` as it was; {_ANOTHER}"
    organization = up.organization.name if up.organization is not None else ""
    if wanted.organization != organization:
        yield _of_organizations(wanted.organization, organization)


def _of_organizations(wanted: str, up: str) -> tuple[str, str, str]:
    """A file system can't be moved between organizations, also not to or from Root: docs.weka.io, "Organizations
    management". Those of the mesh would be made anew there, empty, and the old ones be out of its sight."""
    best = f"those that are up are in {up or 'WEKA itself (Root)'}, and can't be moved to another organization"
    name = f"leave `name: {up}`" if wanted and up else f"set `neuralMesh.organization` back to `name: {up}`"
    hint = name if up else "remove `neuralMesh.organization`"
    place = f"the organization {wanted}" if wanted else "WEKA itself (Root)"
    # what a first `up` left behind does not say whether the driver has made files: its class comes before the Job ends
    return f"file systems in {place}", best, f"{hint}; {_ANOTHER}, or `meshctl destroy` first where no files are yet"


def share_up(up: Deployment | None, pool: Pool, client: WekaContainers, *, udp: bool) -> NodeShare | None:
    """What a client takes of the nodes of a pool that is up, for which they were set up; None where it is another."""
    value = up.neural_mesh if up is not None else None
    if up is None or value is None or value.udp != udp or value.client.cores != client.cores:
        return None
    machines: Mapping[str, str] = {each.name: each.machine for each in up.pools}
    is_same = machines.get(pool.name) == pool.machine and pool.name != value.pool
    return value.shares.get(pool.name) if is_same else None


def interfaces_policy(interfaces: int, shares: Mapping[str, NodeShare], up: Deployment | None) -> dict[str, Any]:
    """Fields of the NeuralMesh whose nodes are given so many of WEKA's own. A cluster that had such nodes before keeps
    the way in which its pods get their addresses; until a further pool has such nodes, for which its network plugin
    must hand out blocks (`platforms.aws.preflight.network_plugin`)."""
    if not interfaces:
        return {}
    before = up.neural_mesh if up is not None else None
    has_blocks = (
        before is None
        or not before.makes_interfaces
        or before.has_address_blocks
        or _has_further_pool(shares, before.shares)
    )
    return {"makes_interfaces": True, "data_interfaces": interfaces + 1, "has_address_blocks": has_blocks}


def _has_further_pool(shares: Mapping[str, NodeShare], before: Mapping[str, NodeShare]) -> bool:
    """Whether WEKA is given interfaces on nodes of a pool where it had none."""
    had = {name for name, share in before.items() if share.network_interfaces}
    return any(share.network_interfaces and name not in had for name, share in shares.items())
