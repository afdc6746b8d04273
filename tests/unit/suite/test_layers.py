"""Every folder of modules has a contract in pyproject.toml that puts each of its modules into a layer.

import-linter checks the contracts that exist (`nox -s lint`), and that an exhaustive one names all modules of its
folder. A new folder without a contract is what it can't see.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[3]
PYPROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS: Final[dict[str, Any]] = PYPROJECT["tool"]["importlinter"]
IN_ANOTHER: Final = {
    "meshrag.stores": "the package chooses one of its two modules, which import what it says of a store",
}


def folders() -> dict[str, list[str]]:
    """The modules and folders of each folder that has more than one, by its dotted name."""
    contents: dict[str, list[str]] = {}
    for name in SETTINGS["root_packages"]:
        for module in sorted((ROOT / name).rglob("*.py")):
            path = module.parent if module.name == "__init__.py" else module.with_suffix("")
            parts = path.relative_to(ROOT).parts
            if len(parts) > 1:
                contents.setdefault(".".join(parts[:-1]), []).append(parts[-1])
    return {folder: names for folder, names in contents.items() if len(names) > 1}


def exhaustive() -> set[str]:
    """The folders whose modules a contract has to name, all of them."""
    contracts = SETTINGS["contracts"]
    return {folder for each in contracts if each.get("exhaustive") for folder in each["containers"]}


def test_each_folder_of_modules_has_a_contract_that_names_them_all() -> None:
    without = folders().keys() - exhaustive() - IN_ANOTHER.keys()
    assert not without, (
        f"{', '.join(sorted(without))}: add a contract `layers inside …` with `exhaustive = true` to pyproject.toml"
    )


def test_the_exceptions_are_folders_without_one() -> None:
    assert IN_ANOTHER.keys() <= folders().keys()
    assert not IN_ANOTHER.keys() & exhaustive()


def test_contracts_are_exhaustive_where_they_have_containers() -> None:
    partial = [each["name"] for each in SETTINGS["contracts"] if each.get("containers") and not each.get("exhaustive")]
    assert partial == []
