"""The meshes that several files of this folder bring up, as fixtures."""

from __future__ import annotations

from tests.faults.moved_mesh import moved
from tests.faults.small_mesh import small

__all__ = ["moved", "small"]
