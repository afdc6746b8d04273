"""When a program of a control plane is started again, and what is said of its end."""

from __future__ import annotations

import pytest

from meshctl.lab.restarts import MOST, WINDOW_S, Ending, delay_s, last_words


def test_each_start_waits_longer_and_the_last_end_is_final() -> None:
    moments = [float(at) for at in range(MOST + 1)]
    delays = [delay_s(moments[:count]) for count in range(1, MOST + 2)]
    assert delays == [0.5, 1, 2, 4, 8, None]


def test_ends_of_long_ago_do_not_count() -> None:
    long_ago = [float(at) for at in range(MOST)]
    assert delay_s([*long_ago, WINDOW_S + MOST]) == 0.5


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("listening\nbye\n\n", "bye"),
        (
            "I1128 14:03:12 server.go:1] up\nE1128 14:03:13 election.go:2] failed to renew lease\n"
            "F1128 14:03:14 manager.go:3] leaderelection lost\ngoroutine 1 [running]:\nmain.main()\n",
            "F1128 14:03:14 manager.go:3] leaderelection lost",
        ),
        ('E1128 14:03:13 run.go:72] "command failed" err="no"\nI1128 x.go:1] closing\n', 'err="no"'),
        ('{"level":"fatal","msg":"no space"}\n{"level":"info","msg":"bye"}\n', '"no space"'),
        ("panic: boom\n\ngoroutine 7 [running]:\n", "panic: boom"),
        ("    | Traceback\n    | TimeoutError: no answer\n    +------------------------------------\n", "no answer"),
    ],
)
def test_the_last_words_are_those_that_say_why(log: str, words: str) -> None:
    assert last_words(log).endswith(words) or words in last_words(log)
    assert bool(last_words(log)) == bool(words)


@pytest.mark.parametrize(("code", "how"), [(1, "exit 1"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")])
def test_how_it_ended(code: int, how: str) -> None:
    assert Ending("etcd", 0, code, "", "etcd.log", restarted=True).how == how
