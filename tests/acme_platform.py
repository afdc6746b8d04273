"""The example platform `examples/platform-acme`, installed beside meshctl as a user would install it, without network.

What an installer does with a wheel of it is done here: the package is copied, and a `.dist-info` folder says its name,
its version and its entry points, all read from its pyproject.toml.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from meshctl.catalog import load_catalog
from meshctl.model.environment import Environments
from meshctl.platforms import registry

FOLDER = Path(__file__).parents[1] / "examples" / "platform-acme"
PACKAGE = "platform_acme"
SOURCE = FOLDER / PACKAGE / "__init__.py"


def install(site: Path, *, source: str | None = None, name: str | None = None, points: str | None = None) -> Path:
    """Install it into the folder `site`. `source`: of its module, instead of its own; `name`: of the distribution;
    `points`: its entry points."""
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]
    module = PACKAGE if name is None else name.replace("-", "_")
    package = site / module
    shutil.copytree(FOLDER / PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    if source is not None:
        (package / "__init__.py").write_text(source)
    info = site / f"{module}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name or project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    own = "\n".join(f"{key} = {value}" for key, value in project["entry-points"][registry.GROUP].items())
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points or own}\n")
    return site


def entry_points_in(*sites: Path) -> list[EntryPoint]:
    """Those of the packages in the folders alone."""
    found = distributions(path=[str(site) for site in sites])
    return [point for each in found for point in each.entry_points if point.group == registry.GROUP]


@contextmanager
def importable(*sites: Path) -> Iterator[None]:
    """The packages in the folders can be imported, until the block ends."""
    before, modules = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(site) for site in sites]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before
        for name in [name for name in sys.modules if name not in modules and _is_in(name, sites)]:
            del sys.modules[name]


def _is_in(module: str, sites: tuple[Path, ...]) -> bool:
    file = getattr(sys.modules[module], "__file__", None) or ""
    return any(file.startswith(f"{site}/") for site in sites)


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """This process has the packages in `site` as if they had been installed when it began."""
    with importable(site):
        _look_again()
        try:
            yield
        finally:
            sys.path.remove(str(site))
            _look_again()


def _look_again() -> None:
    registry.installed.cache_clear()
    load_catalog.cache_clear()
    Environments.model_rebuild(force=True)
