"""What this machine has and lacks for meshctl. EDGE: reads files, runs programs; no network.

Called by `cli.doctor`, which prints the findings.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from dataclasses import dataclass
from typing import Literal

from botocore.exceptions import BotoCoreError
from botocore.session import Session

from meshctl import tools
from meshctl.clients.aws import session_credentials
from meshctl.engine.workspace import KUBERNETES_PLUGIN, official_kubernetes_plugin
from meshctl.errors import PlatformError, ToolError
from meshctl.model.resource_types import AWS_PACKAGE
from meshctl.platforms import registry
from meshctl.tools.build import go_program
from meshctl.tools.download import MIRROR_VARIABLE, release_files
from meshctl.tools.table import accepted

DISTRIBUTION = "meshctl"

# these ask servers that may not exist: doctor checks only this machine
_NETWORK_CREDENTIALS = ("container-role", "iam-role")


@dataclass(frozen=True)
class Finding:
    """One checked item. `state`: `ok`, `missing`, or `optional` (missing, but not needed yet)."""

    group: Literal["programs", "python", "plugins", "platforms", "credentials"]
    name: str
    state: Literal["ok", "missing", "optional"]
    version: str = ""
    source: str = ""  # PATH, cache, wheel, or which provider of credentials
    path: str = ""
    detail: str = ""  # what was rejected, and why
    hint: str = ""  # what to do


_LONG_UP_MINUTES = 60  # of an `up` that makes a cluster


def diagnose() -> tuple[Finding, ...]:
    """Every finding, in the order in which it is printed."""
    lab = _lab_installed()
    needed = (*tools.CORE, *tools.LAB) if lab else tools.CORE
    programs = [_program(name, needed=name in needed) for name in tools.TOOLS]
    wheels = [_wheel_program(name, needed=name == "rclone" or lab) for name in tools.WHEELS]
    python = [_distribution(line, needed="extra ==" not in line or lab) for line in _requirements()]
    return (*programs, *wheels, _go(programs), *python, *_plugins(), *_platforms(), *_credentials())


def _lab_installed() -> bool:
    return _version("moto") != ""


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _program(name: str, *, needed: bool) -> Finding:
    tool, located = tools.TOOLS[name], tools.locate(name)
    rejected = "; ".join(f"{item.path}: {item.reason}" for item in tools.refusals(name))
    if located is not None:
        return Finding("programs", name, "ok", located.version, located.source, str(located.path), rejected)
    hint = f"meshctl setup {name}, or put {accepted(tool)} on PATH"
    return Finding("programs", name, "missing" if needed else "optional", detail=rejected, hint=hint)


def _wheel_program(name: str, *, needed: bool) -> Finding:
    located, version = tools.locate(name), _version(tools.WHEELS[name])
    if located is not None:
        return Finding("programs", name, "ok", version, f"wheel {tools.WHEELS[name]}", str(located.path))
    hint = f"install the Python package {tools.WHEELS[name]} beside meshctl"
    return Finding("programs", name, "missing" if needed else "optional", hint=hint)


def _go(programs: list[Finding]) -> Finding:
    """Go is needed only if a program is missing that has no official release for this machine."""
    missing = [tools.TOOLS[item.name] for item in programs if item.state == "missing"]
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    wanted = next((tool for tool in missing if not release_files(tool, mirror)), None)
    tool = wanted or tools.TOOLS["pulumi"]
    try:
        return Finding("programs", "go", "ok", source="PATH", path=go_program(tool))
    except ToolError as error:
        state: Literal["missing", "optional"] = "missing" if wanted else "optional"
        return Finding("programs", "go", state, path=shutil.which("go") or "", detail=error.why, hint=error.hint)


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _distribution(requirement: str, *, needed: bool) -> Finding:
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    version = _version(parsed.name)
    if version and parsed.specifier.contains(version, prereleases=True):
        return Finding("python", parsed.name, "ok", version)
    detail = f"{version or 'not installed'}, wanted {parsed.specifier}"
    return Finding(
        "python", parsed.name, "missing" if needed else "optional", version, detail=detail, hint="reinstall meshctl"
    )


def _plugins() -> list[Finding]:
    official = official_kubernetes_plugin()
    version = KUBERNETES_PLUGIN.rpartition("-v")[2]
    if official is not None:
        kubernetes = Finding("plugins", "kubernetes", "ok", version, "official", str(official))
    else:
        detail = "meshctl's own server stands in for the official plugin, which is not installed"
        hint = f"to use the official one: pulumi plugin install resource kubernetes {version}"
        kubernetes = Finding("plugins", "kubernetes", "ok", version, "stand-in", detail=detail, hint=hint)
    own = Finding("plugins", AWS_PACKAGE, "ok", _version(DISTRIBUTION), "meshctl")
    return [kubernetes, own]


def _platforms() -> list[Finding]:
    """The platforms that environments.yaml can name, and those whose packages can't be used."""
    discovered = registry.installed()
    findings = [Finding("platforms", name, "ok", source=discovered.sources[name]) for name in discovered.platforms]
    findings += [
        Finding("platforms", each.name, "optional", source=each.source, detail=each.problem, hint=each.error().hint)
        for each in discovered.unusable
    ]
    try:
        registry.platforms()
    except PlatformError as error:
        findings.append(Finding("platforms", DISTRIBUTION, "missing", detail=error.why, hint=error.hint))
    return findings


def _credentials() -> list[Finding]:
    """Whether credentials are configured here for the platforms whose APIs meshctl calls."""
    hints = {name: platform.words.credentials_hint for name, platform in registry.installed().platforms.items()}
    return [_credentials_of(name, hint) for name, hint in hints.items() if hint]


def _credentials_of(platform: str, hint: str) -> Finding:
    """What the SDK finds on this machine, and how; not whether the API accepts it. `hint`: for somebody who has
    none."""
    session = Session()
    try:
        resolver = session.get_component("credential_provider")
        for name in _NETWORK_CREDENTIALS:
            resolver.remove(name)
        credentials = resolver.load_credentials()
    except BotoCoreError as error:
        return Finding("credentials", platform, "optional", detail=str(error), hint=hint)
    if credentials is None:
        return Finding("credentials", platform, "optional", detail="none found on this machine", hint=hint)
    life = session_credentials.of_credentials(credentials)
    detail = f"profile {session.profile or 'default'}" + (f"; {life.words()}" if life.is_session else "")
    ends_soon = life.is_session and (life.minutes is None or life.minutes <= _LONG_UP_MINUTES)
    hint = "an `up` that makes a cluster may outlive them: renew them first" if ends_soon else ""
    return Finding("credentials", platform, "ok", source=credentials.method, detail=detail, hint=hint)
