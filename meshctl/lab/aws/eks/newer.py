"""Releases of nodes' images and of add-ons that appear while the lab runs. EDGE (reads a file).

`releases.json` in the lab's folder names what is newer than what the lab begins with, and may change at any time:

    {"image": "20261120", "addons": {"coredns": "v1.12.9-eksbuild.1"}}

Called by the EKS API, for what new things get, and by the lab's Systems Manager, whose public parameters hold the
newest release of an image (EKS user guide, "Retrieve recommended Amazon Linux AMI IDs").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from meshctl.lab.state import read_json

FILE: Final = "releases.json"
_FIRST_IMAGE: Final = "20261101"


def image_release(root: Path, kubernetes: str) -> str:
    """The newest release of the images for a Kubernetes version."""
    return f"{kubernetes}.0-{_read(root).get('image', _FIRST_IMAGE)}"


def is_image_release(root: Path, release: str, kubernetes: str) -> bool:
    """Whether there is such a release: the newest, and the one that the lab begins with."""
    return release in (image_release(root, kubernetes), f"{kubernetes}.0-{_FIRST_IMAGE}")


def addon_version(root: Path, name: str) -> str:
    """The version that is newer than the first one, "" where the file names none."""
    return str(_read(root).get("addons", {}).get(name, ""))


def _read(root: Path) -> dict[str, Any]:
    return read_json(root / FILE)
