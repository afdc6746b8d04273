"""A platform whose failures are named: what a function of its package raises becomes a PlatformError. PURE.

Made by `registry` for platforms of other packages. Without it, a mistake in a package would be reported as a bug of
meshctl, and nobody would know whom to ask.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from meshctl.errors import MeshError, PlatformError
from meshctl.platforms.interface import Part, Platform

P = TypeVar("P", bound=Part)


def guarded(platform: Platform, source: str) -> Platform:
    """The same platform. `source`: the package that it comes from, with its version."""
    return _guarded_part(platform, f'the platform "{platform.name}" of {source}', source, place="")


def _guarded_part(part: P, whose: str, source: str, *, place: str) -> P:
    values = {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]
    return type(part)(
        **{name: _guarded_value(value, whose, source, place=f"{place}{name}") for name, value in values.items()}
    )


def _guarded_value(value: Any, whose: str, source: str, *, place: str) -> Any:
    if isinstance(value, Part):
        return _guarded_part(value, whose, source, place=f"{place}.")
    if isinstance(value, Mapping | type) or not callable(value):
        return value
    return _guarded_function(value, whose, source, place)


def _guarded_function(function: Callable[..., Any], whose: str, source: str, place: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except MeshError:
            raise
        except Exception as error:
            raise PlatformError(
                f"{whose} failed",
                why=f"its function {place} raised {type(error).__name__}: {error}",
                hint=f"install another version of {source.split()[0]}, or report this to its authors with the output "
                "of the same command and --debug",
            ) from error

    return call
