"""Runs the server in the wheel `milvus` (2.3.5, the last one for Linux) in the current folder until SIGTERM.

For a Python of its own: the wheel needs a setuptools that still has pkg_resources. Used by `rag_stack`.
"""

from __future__ import annotations

import signal
from pathlib import Path

from milvus import MilvusServer  # type: ignore[import-not-found]


def main() -> None:
    server = MilvusServer()
    server.set_base_dir(str(Path.cwd()))
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server.start()
    signal.sigwait(signals)
    server.stop()


if __name__ == "__main__":
    main()
