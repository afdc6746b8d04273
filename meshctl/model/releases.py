"""Releases that an environment runs on, and newer ones: images of nodes, versions of add-ons. PURE.

A platform that has releases makes a `LivePlatform` of its API's answers (`meshctl.platforms.interface.Releases`).
`meshctl.deploy.live_platform` asks for it; `plan`, `up` and `status` show it. Nothing moves to another release unless
somebody asks for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from meshctl.model.deployment import Deployment


def is_newer(release: str, other: str) -> bool:
    """Whether the numbers in `release` are higher: 1.35.4-20261120 than 1.35.0-20261101."""
    return bool(release and other) and _numbers(release) > _numbers(other)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


@dataclass(frozen=True)
class LivePool:
    """A pool's nodes as the platform has them now. `nodes`: how many it is to have at the moment, None for not known.
    `image`: the release that they run; `newest_image`: of the same Kubernetes version, "" for not known. `at_once`: how
    many nodes an update replaces at a time. `image_stays`: why no node of it can be replaced now, "" where they can."""

    name: str
    nodes: int | None = None
    image: str = ""
    newest_image: str = ""
    at_once: int = 1
    image_stays: str = ""

    @property
    def is_outdated(self) -> bool:
        return is_newer(self.newest_image, self.image)

    @property
    def can_be_refreshed(self) -> bool:
        return self.is_outdated and not self.image_stays

    def refresh_words(self) -> str:
        """What a move to the newest image does."""
        change = f"pool/{self.name}: image {self.image} -> {self.newest_image}"
        if self.image_stays:
            return (
                f"pool/{self.name}: image {self.image} stays, although {self.newest_image} exists: {self.image_stays}"
            )
        nodes = self.nodes or 0
        if not nodes:
            return f"{change}, it has no nodes at the moment"
        if nodes == 1:
            return f"{change}, its node is replaced"
        at_once = min(self.at_once, nodes)
        how = "one by one" if at_once == 1 else f"in batches of {at_once}"
        return f"{change}, its {nodes} nodes are replaced {how}"


@dataclass(frozen=True)
class LiveAddon:
    """An add-on of the cluster. `newest`: the version that the platform gives new clusters, "" for not known."""

    name: str
    version: str
    newest: str = ""

    @property
    def is_outdated(self) -> bool:
        return is_newer(self.newest, self.version)


@dataclass(frozen=True)
class LivePlatform:
    """What runs, as far as the platform says it. `notes`: what else a user should know of it. `unasked`: what the
    platform did not answer, each a sentence."""

    pools: tuple[LivePool, ...] = ()
    addons: tuple[LiveAddon, ...] = ()
    notes: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    def pool(self, name: str) -> LivePool | None:
        return next((pool for pool in self.pools if pool.name == name), None)

    def refreshed(self, deployment: Deployment) -> Deployment:
        """The deployment that asks for the newest releases; what has them already is left alone."""
        images = {pool.name: pool.newest_image for pool in self.pools if pool.can_be_refreshed}
        versions = {addon.name: addon.newest for addon in self.addons if addon.is_outdated}
        if not images and not versions:
            return deployment
        pools = tuple(
            pool.model_copy(update={"image_release": images[pool.name]}) if pool.name in images else pool
            for pool in deployment.pools
        )
        addons = {**deployment.cluster.addon_versions, **versions}
        cluster = deployment.cluster.model_copy(update={"addon_versions": dict(sorted(addons.items()))})
        return deployment.model_copy(update={"pools": pools, "cluster": cluster})

    def refresh_notes(self) -> tuple[str, ...]:
        """What a run with `--refresh-images` moves."""
        pools = tuple(pool.refresh_words() for pool in self.pools if pool.is_outdated)
        outdated = [addon for addon in self.addons if addon.is_outdated]
        addons = tuple(f"cluster: add-on {each.name} {each.version} -> {each.newest}" for each in outdated)
        nothing = () if pools or addons or self.unasked else ("no newer image or add-on exists: nothing to refresh",)
        return (*pools, *addons, *nothing, *self.unasked)

    def newer_notes(self, environment: str) -> tuple[str, ...]:
        """That there are newer releases, to which nothing moves by itself."""
        newer = ", ".join(self._newer())
        if not newer:
            return ()
        return (
            f"newer releases exist: {newer}; nothing moves to them by itself, `meshctl plan {environment}"
            " --refresh-images` shows what would be replaced",
        )

    def _newer(self) -> Iterator[str]:
        for pool in self.pools:
            if pool.is_outdated:
                yield f"image {pool.newest_image} for pool {pool.name} ({pool.image} runs)"
        for addon in self.addons:
            if addon.is_outdated:
                yield f"add-on {addon.name} {addon.newest} ({addon.version} runs)"

    def count_notes(self, deployment: Deployment) -> tuple[str, ...]:
        """Pools that somebody scaled within their bounds, and so are left as they are."""
        notes = []
        for pool in deployment.pools:
            live = self.pool(pool.name)
            if live is not None and live.nodes is not None and live.nodes != pool.nodes_min:
                notes.append(f"pool/{pool.name}: {count_words(live.nodes, pool.nodes_min, pool.nodes_max)}")
        return tuple(notes)


def count_words(nodes: int, least: int, most: int) -> str:
    """`4 nodes now, 2..8`."""
    return f"{nodes} {'node' if nodes == 1 else 'nodes'} now, {least}..{most}"
