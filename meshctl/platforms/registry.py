"""Finds the platforms that are installed, by the entry point group `meshctl.platforms`. EDGE: reads what is installed.

Asked by every layer above for the platform of an environment or deployment. A platform that can't be used is kept
with the reason, and the others go on: only who asks for it gets the error, and `meshctl doctor` shows all.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from types import FrameType, MappingProxyType
from typing import Final, Literal, TypeVar, get_args, get_origin

from meshctl.errors import PlatformError
from meshctl.platforms.guarded import guarded
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
class Installed:
    """Those that can be used, by name, own ones first; those that can't; and the package that each comes from."""

    platforms: Mapping[str, Platform] = field(default_factory=dict)
    unusable: tuple[Unusable, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def find(points: Iterable[EntryPoint]) -> Installed:
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
            is_own = _distribution(point) == OWN
            platforms[point.name] = loaded if is_own else guarded(loaded, source)
            sources[point.name] = source
    return Installed(MappingProxyType(platforms), tuple(unusable), MappingProxyType(sources))


def _loaded(point: EntryPoint) -> Platform | str:
    """The platform, or what is wrong with it. Whatever a package of others does, it must not end this program."""
    if not re.fullmatch(_MODULE_AND_OBJECT, point.value):
        return f'its entry point is "{point.value}", and must be MODULE:OBJECT, like platform_acme:PLATFORM'
    try:
        with _telling_interrupts():
            platform = point.load()
        return _misfit(point, platform) or platform
    except PartsError as error:
        return str(error)
    except _PressedCtrlCError:
        raise KeyboardInterrupt from None
    except BaseException as error:
        return f"its module {point.module} fails to import: {type(error).__name__}: {error}"


_MODULE_AND_OBJECT: Final = r"[\w.]+\s*:\s*[\w.]+\s*(\[.*\])?"


class _PressedCtrlCError(KeyboardInterrupt):
    """From the keyboard, and not from the module that is being loaded."""


@contextmanager
def _telling_interrupts() -> Iterator[None]:
    """While the block runs, Ctrl-C raises an exception that no module can have raised by itself."""

    def pressed(_number: int, _frame: FrameType | None) -> None:
        raise _PressedCtrlCError

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _misfit(point: EntryPoint, platform: object) -> str:
    """What is wrong with what was loaded, where all its parts are there."""
    if not isinstance(platform, Platform):
        return f"{point.value} is no Platform, but {type(platform).__name__}"
    if platform.name != point.name:
        return f'its entry point is called "{point.name}" and the platform itself "{platform.name}"'
    provider = platform.environment.model_fields["provider"]
    is_its_name = get_origin(provider.annotation) is Literal and get_args(provider.annotation) == (platform.name,)
    if not is_its_name or provider.alias not in (None, "provider"):
        return f'its environment must have `provider: Literal["{platform.name}"]`'
    return ""


def _distribution(point: EntryPoint) -> str:
    return _name(point.dist) if point.dist is not None else ""


def _source(point: EntryPoint) -> str:
    return _source_of(point.dist) if point.dist is not None and _name(point.dist) else point.value


def _name(distribution: Distribution) -> str:
    """Empty where its METADATA is missing or says none."""
    return distribution.metadata["Name"] or ""


def _source_of(distribution: Distribution) -> str:
    return f"{_name(distribution)} {distribution.metadata['Version']}"


def _points() -> tuple[list[EntryPoint], list[Unusable]]:
    """The entry points of all that is installed, and those that can't be read."""
    try:
        return list(entry_points(group=GROUP)), []
    except Exception:
        return _points_one_by_one()


def _points_one_by_one() -> tuple[list[EntryPoint], list[Unusable]]:
    points: list[EntryPoint] = []
    unreadable: list[Unusable] = []
    seen: set[str] = set()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", _name(distribution)).lower()
        if name and name in seen:
            continue  # hidden by one of the same name, earlier on the path
        seen.add(name)
        try:
            points += distribution.entry_points.select(group=GROUP)
        except Exception:
            text = distribution.read_text("entry_points.txt") or ""
            unreadable += [_unreadable(line, distribution) for line in _lines_of_group(text) if "=" not in line]
            points += [_point(line, distribution) for line in _lines_of_group(text) if "=" in line]
    return points, unreadable


def _lines_of_group(text: str) -> list[str]:
    """The lines of an entry_points.txt that stand in the section of platforms."""
    section, lines = "", []
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and line and not line.startswith("#"):
            lines.append(line)
    return lines


def _point(line: str, distribution: Distribution) -> EntryPoint:
    name, value = map(str.strip, line.split("=", 1))
    point = EntryPoint(name, value, GROUP)
    vars(point).update(dist=distribution)  # as importlib.metadata does: an entry point is frozen
    return point


def _unreadable(line: str, distribution: Distribution) -> Unusable:
    problem = f'its entry_points.txt has the line "{line}", and must have NAME = MODULE:OBJECT'
    return Unusable(line, _source_of(distribution), problem)


@cache
def installed() -> Installed:
    """The platforms of this installation, loaded once for each process."""
    points, unreadable = _points()
    loaded = find(points)
    return replace(loaded, unusable=(*loaded.unusable, *unreadable))


def platforms() -> tuple[Platform, ...]:
    """All platforms that can be used, in a fixed order.

    Raises: PlatformError when meshctl's own are not among them: then something is wrong with the installation.
    """
    if not any(source.split()[0] == OWN for source in installed().sources.values()):
        raise not_installed()
    return tuple(installed().platforms.values())


def not_installed() -> PlatformError:
    return PlatformError(
        "meshctl's own platforms are not installed",
        why=f"the installed {OWN} has no entry points of the group {GROUP}: it was installed before it had them",
        hint="install meshctl anew (`uv sync --reinstall-package meshctl` in a checkout)",
    )


def platform(name: str) -> Platform:
    """The platform with this name. Raises: PlatformError when it isn't installed, or can't be used."""
    available = installed()
    if name in available.platforms:
        return available.platforms[name]
    platforms()
    broken = unusable(name)
    if broken is not None:
        raise broken.error()
    raise PlatformError(
        f'the platform "{name}" is not installed',
        why=f"no installed package brings it; there are {', '.join(available.platforms)}",
        hint="install its package beside meshctl; `meshctl doctor` shows what is found",
    )


def unusable(name: str) -> Unusable | None:
    """Why the platform can't be used; None where nothing is wrong with it, or no package has it."""
    return next(
        (each for each in installed().unusable if each.name == name and name not in installed().platforms), None
    )


def cluster_types() -> tuple[str, ...]:
    """The Pulumi types of the clusters that platforms make."""
    return tuple(each.cluster.made.resource_type for each in platforms() if each.cluster.made is not None)


def file_system_types() -> tuple[str, ...]:
    """The Pulumi types of the file systems that platforms make."""
    return tuple(name for each in platforms() for name in each.storage.holding_types)


def emptied_by() -> frozenset[tuple[str, str]]:
    """(Pulumi type, property) of what makes nodes, whose change replaces them by nodes with empty drives."""
    parts = (each.storage.neural_mesh for each in platforms())
    return frozenset(pair for part in parts if part is not None for pair in part.emptied_by)


def merged(part: Callable[[Platform], Mapping[_K, _V]]) -> dict[_K, _V]:
    """The entries of all platforms in one table. If two have the same key, the first platform's entry counts."""
    entries: dict[_K, _V] = {}
    for each in platforms():
        entries = {**part(each), **entries}
    return entries
