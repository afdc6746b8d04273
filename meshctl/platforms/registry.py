"""Finds the platforms that are installed, by the entry point group `meshctl.platforms`. EDGE: reads what is installed.

Asked by every layer above for the platform of an environment or deployment. A platform that can't be used is kept
with the reason, and the others go on: only who asks for it gets the error, and `meshctl doctor` shows all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, TypeVar

from meshctl.errors import PlatformError
from meshctl.platforms.interface import PartsError, Platform

GROUP: Final = "meshctl.platforms"
OWN: Final = "meshctl"  # the distribution whose platforms keep their names, whatever else is installed
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Unusable:
    """A platform that can't be used. `source`: the package that it comes from, with its version."""

    name: str
    source: str
    problem: str

    def __str__(self) -> str:
        return f'the platform "{self.name}" of {self.source} can\'t be used: {self.problem}'

    def error(self) -> PlatformError:
        return PlatformError(
            f'the platform "{self.name}" of {self.source} can\'t be used',
            why=self.problem,
            hint=f"install a version of {self.source.split()[0]} that goes with this meshctl; the others go on working",
        )


@dataclass(frozen=True)
class Found:
    """Those that can be used, by name, own ones first; those that can't; and the package that each comes from."""

    platforms: Mapping[str, Platform] = field(default_factory=dict)
    unusable: tuple[Unusable, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def find(points: Iterable[EntryPoint]) -> Found:
    """Load every platform. What is wrong with one is said of that one."""
    platforms: dict[str, Platform] = {}
    sources: dict[str, str] = {}
    unusable: list[Unusable] = []
    for point in sorted(points, key=lambda point: (_distribution(point) != OWN, point.name, _distribution(point))):
        source = _source(point)
        if point.name in platforms:
            problem = f"the name is taken by {sources[point.name]}"
            unusable.append(Unusable(point.name, source, problem))
            continue
        loaded = _loaded(point)
        if isinstance(loaded, str):
            unusable.append(Unusable(point.name, source, loaded))
        else:
            platforms[point.name], sources[point.name] = loaded, source
    return Found(MappingProxyType(platforms), tuple(unusable), MappingProxyType(sources))


def _loaded(point: EntryPoint) -> Platform | str:
    """The platform, or what is wrong with it."""
    try:
        platform = point.load()
    except PartsError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # a module of others may do anything, and must not end this program
        return f"its module {point.module} fails to import: {type(error).__name__}: {error}"
    if not isinstance(platform, Platform):
        return f"{point.value} is no Platform, but {type(platform).__name__}"
    if platform.name != point.name:
        return f'its entry point is called "{point.name}" and the platform itself "{platform.name}"'
    return _misfit(platform) or platform


def _misfit(platform: Platform) -> str:
    """What is wrong with parts that are there."""
    known = platform.environment.model_fields
    missing = [name for name in ("provider", "region", "prices") if name not in known]
    if missing:
        return f"its environment lacks {', '.join(missing)}"
    if platform.environment.model_fields["provider"].annotation is str:
        return f'its environment must have `provider: Literal["{platform.name}"]`'
    return ""


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


@cache
def found() -> Found:
    """The platforms of this installation, loaded once for each process."""
    return find(entry_points(group=GROUP))


def platforms() -> tuple[Platform, ...]:
    """All that can be used, in a fixed order.

    Raises: PlatformError when meshctl's own are not among them: then something is wrong with the installation.
    """
    if not any(source.split()[0] == OWN for source in found().sources.values()):
        raise not_installed()
    return tuple(found().platforms.values())


def not_installed() -> PlatformError:
    return PlatformError(
        "meshctl's own platforms are not installed",
        why=f"the installed {OWN} has no entry points of the group {GROUP}: it was installed before it had them",
        hint="install meshctl anew (`uv sync --reinstall-package meshctl` in a checkout)",
    )


def platform(name: str) -> Platform:
    """Raises: PlatformError when it isn't installed, or can't be used."""
    known = found()
    if name in known.platforms:
        return known.platforms[name]
    platforms()
    broken = unusable(name)
    if broken is not None:
        raise broken.error()
    raise PlatformError(
        f'the platform "{name}" is not installed',
        why=f"no installed package brings it; there are {', '.join(known.platforms)}",
        hint="install its package beside meshctl; `meshctl doctor` shows what is found",
    )


def unusable(name: str) -> Unusable | None:
    """Why the platform can't be used; None where nothing is wrong with it, or no package has it."""
    return next((each for each in found().unusable if each.name == name and name not in found().platforms), None)


def cluster_types() -> tuple[str, ...]:
    """The Pulumi types of the clusters that platforms make."""
    return tuple(each.cluster.made.resource_type for each in platforms() if each.cluster.made is not None)


def file_system_types() -> tuple[str, ...]:
    """The Pulumi types of the file systems that platforms make."""
    return tuple(name for each in platforms() for name in each.storage.holding_types)


def merged(part: Callable[[Platform], Mapping[_K, _V]]) -> dict[_K, _V]:
    """One table of all platforms' entries; the first platform that has a key decides."""
    entries: dict[_K, _V] = {}
    for each in platforms():
        entries = {**part(each), **entries}
    return entries
