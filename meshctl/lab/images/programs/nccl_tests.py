"""The programs of an image of nccl-tests, played: there is no GPU, so `mpirun` prints a recording, and says so. EDGE.

Started by `meshctl.lab.images.commands`. What is printed is `fabric.txt` in the lab's folder, which may change while
the lab runs; without it, what CoreWeave has measured on nodes with eight H100 and InfiniBand.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

from meshctl.lab.images import python_script

PROGRAMS: Final = ("mpirun", "ssh", "sshd", "ssh-keygen")
RECORDING: Final = "fabric.txt"
# github.com/coreweave/nccl-tests, README.md at 0120901a
_OF_COREWEAVE: Final = """\
# nThread 1 nGpus 1 minBytes 4 maxBytes 2147483648 step: 2(factor) warmup iters: 50 iters: 50 validation: 1
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
   536870912     134217728     float     sum      -1   2984.6  179.88  356.01      0   2979.7  180.18  356.60      0
  1073741824     268435456     float     sum      -1   5808.0  184.87  365.90      0   5882.2  182.54  361.28      0
  2147483648     536870912     float     sum      -1    11163  192.37  380.73      0    11203  191.70  379.40      0
  4294967296    1073741824     float     sum      -1    22181  193.63  383.23      0    22570  190.29  376.62      0
  8589934592    2147483648     float     sum      -1    43980  195.31  386.56      0    44094  194.81  385.56      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 373.187
"""


def main(name: str) -> int:
    if name == "sshd":
        signal.pause()  # until the pod ends
    if name == "mpirun":
        sys.stdout.write(f"# replayed by the lab, which has no GPU\n{_recording()}")
    return 0


def _recording() -> str:
    """`fabric.txt` in the folder of the lab, two above the file of its addresses."""
    path = Path(os.environ.get(python_script.ADDRESSES, "")).parent.parent / RECORDING
    return path.read_text(encoding="utf-8") if path.is_file() else _OF_COREWEAVE
