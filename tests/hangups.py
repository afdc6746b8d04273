"""SIGHUP for tests that send it, also where the tests themselves run under `nohup`, whose ignoring is inherited."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hangups_not_ignored() -> Iterator[None]:
    """Inside it SIGHUP has its usual effect on this process, and on what it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
