"""The versions of Pulumi programs that meshctl and its providers are made for. PURE.

The same versions stand in `pyproject.toml` and in `tools/pulumi/go.mod`, which can't import this module; a unit test
compares them.
"""

from __future__ import annotations

from typing import Final

PULUMI: Final = "3.259.0"
"""The `pulumi` program, and the Python SDK that drives it."""

KUBERNETES_PLUGIN: Final = "4.34.2"
"""The official kubernetes plugin, which our provider of the same name stands in for."""
