"""One line for each moment of a long run."""

import pytest

from meshctl.cli.context import progress_line
from meshctl.engine.events import Progress


@pytest.mark.parametrize(
    ("moment", "line"),
    [
        (Progress("pool/train", "pool/train:nodegroup", "done", "create"), "created   pool/train nodegroup"),
        (Progress("pool/train", "pool/train:nodegroup", "started", "replace"), "replacing pool/train nodegroup"),
        (Progress("storage/w", "storage/w:bucket", "failed", "delete"), "FAILED    storage/w bucket"),
        (Progress("cluster", "cluster:eks", "message", "CREATING (20 s)"), "...       cluster eks: CREATING (20 s)"),
        (Progress("engine", "cw", "message", "waiting for a lock"), "...       engine cw: waiting for a lock"),
    ],
)
def test_lines(moment: Progress, line: str) -> None:
    assert progress_line(moment) == line
