"""The programs of an image of DCGM, played: there is no GPU, so `dcgmi diag` prints a recording, and says so. EDGE.

Started by `meshctl.lab.images.commands`. What is printed is `diagnosis.json` in the lab's folder, which may change
while the lab runs; without it, what the test `diagnostic` has found on a machine with eight GPUs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from meshctl.lab.images import python_script

PROGRAMS: Final = ("nv-hostengine", "dcgmi")
RECORDING: Final = "diagnosis.json"
_GPUS: Final = 8
_TAKES_S: Final = 15.0  # minutes for real: the pods of other nodes have their places long before the first one is done


def main(words: Sequence[str]) -> int:
    if words[:2] == ["dcgmi", "diag"]:
        time.sleep(_TAKES_S)
        sys.stdout.write(f"# replayed by the lab, which has no GPU\n{_recording()}")
    return 0


def _recording() -> str:
    """`diagnosis.json` in the folder of the lab, two above the file of its addresses."""
    path = Path(os.environ.get(python_script.ADDRESSES, "")).parent.parent / RECORDING
    return path.read_text(encoding="utf-8") if path.is_file() else json.dumps(_healthy())


def _healthy() -> dict[str, object]:
    """As in github.com/NVIDIA/DCGM, issue 215, where two of the eight say how fast they were."""
    info = "GPU {} calculated at approximately 859.08 gigaflops during this test"
    results: list[dict[str, object]] = [
        {"entity_group": "GPU", "entity_group_id": 1, "entity_id": gpu, "status": "Pass"} for gpu in range(_GPUS)
    ]
    for gpu, result in enumerate(results[:2]):
        result["info"] = [info.format(gpu)]
    test = {"name": "diagnostic", "results": results, "test_summary": {"status": "Pass"}}
    return {"DCGM Diagnostic": {"test_categories": [{"category": "Hardware", "tests": [test]}]}}
