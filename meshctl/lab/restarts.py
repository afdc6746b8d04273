"""When a program of a control plane that ended is started again, and what its end is called. PURE.

Called by `supervisor`, which starts them, by `parts`, which reads what the supervisor wrote down, and by `up`.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST = 5  # ends of one program within WINDOW_S after which it is started again; the next one is final
WINDOW_S = 600.0
FIRST_DELAY_S = 0.5
MARK = "---- "  # begins the lines that the lab writes into a program's log
_LONGEST_WORDS = 300
# klog's fatal and error lines, a Go panic, zap's JSON levels (etcd); the worst kind that a log has is what it died of
_WORST_FIRST = (
    re.compile(r"^(F\d{4} |panic: |fatal error: )|\"level\":\"(fatal|panic)\""),
    re.compile(r"^(E\d{4} |Error: |error: )|\"level\":\"error\""),
)
_LINES_OF_AN_END = 60
_AROUND_A_GROUP = " \t|+-"  # what Python prints around the exceptions of a group


@dataclass(frozen=True)
class Ending:
    """One end of one program. `exit_code`: negative for a signal. `at`: seconds since 1970. `log`: where it is kept."""

    program: str
    at: float
    exit_code: int
    last_words: str
    log: str
    restarted: bool

    @property
    def how(self) -> str:
        if self.exit_code >= 0:
            return f"exit {self.exit_code}"
        try:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        except ValueError:
            return f"killed by signal {-self.exit_code}"


def ending_from(document: dict[str, Any]) -> Ending:
    return Ending(**{name: document[name] for name in Ending.__dataclass_fields__})


def delay_s(ends_at: Sequence[float], *, first_s: float = FIRST_DELAY_S) -> float | None:
    """Seconds until the next start of a program that ended at these moments, the last one just now.

    None when it ended so often that another start would not help.
    """
    recent = sum(at > ends_at[-1] - WINDOW_S for at in ends_at)
    return None if recent > MOST else first_s * 2 ** (recent - 1)


def last_words(log: str) -> str:
    """The line of a log's end that says most about why its program ended; "" for an empty log."""
    own = (line for line in log.splitlines()[-_LINES_OF_AN_END:] if not line.startswith(MARK))
    lines = [words for line in own if (words := line.strip(_AROUND_A_GROUP))]
    for kind in _WORST_FIRST:
        matching = [line for line in lines if kind.search(line)]
        if matching:
            return matching[-1][:_LONGEST_WORDS]
    return lines[-1][:_LONGEST_WORDS] if lines else ""
