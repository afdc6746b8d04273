"""A run of pytest in a process of its own, with plugins of this suite: for tests of those plugins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def run_pytest(folder: Path, source: str, plugin: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`source` is the only test file; nothing of this repository's own configuration counts."""
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [*command, "--timeout-method", "signal", "-c", os.devnull, "--rootdir", ".", *arguments, "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
