"""Starts one program and notes what it took; small on purpose. EDGE.

    python tests/bench/launch.py RESULT_FILE PROGRAM [ARGUMENT]…

Run by `samples.run`. The kernel counts the memory of whoever forked a program as its own until it has replaced itself,
so the parent must be smaller than what is measured.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> int:
    began = time.monotonic()
    process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.monotonic() - began
    with open(sys.argv[1], "w") as result:  # noqa: PTH123 (pathlib would be half of this process)
        result.write(f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss / 1024}")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
