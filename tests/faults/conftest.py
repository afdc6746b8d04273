"""The meshes that several files of this folder bring up, and the users that they do it as, as fixtures."""

from __future__ import annotations

from tests.faults.moved_mesh import moved
from tests.faults.small_mesh import small
from tests.faults.users import users

__all__ = ["moved", "small", "users"]
