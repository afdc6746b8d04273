"""Row `lab`: how long `meshctl lab up` takes when its programs are there. EDGE."""

from __future__ import annotations

from meshctl.lab import up
from meshctl.lab.state import Lab
from tests.bench.samples import Outcome, Samples
from tests.bench.settings import Bench, start_lab

GOAL_S = 15.0


def lab_start(bench: Bench) -> list[Outcome]:
    while len(bench.lab_start_s) < bench.sizes.lab_starts:
        other = Lab(bench.folder / f"lab-{len(bench.lab_start_s)}")
        try:
            bench.lab_start_s.append(start_lab(bench, other).seconds)
        finally:
            up.down(other)
    found = Samples(tuple(bench.lab_start_s))
    return [Outcome("lab up, warm", f"< {GOAL_S:.0f} s", found.text(), "", None, found.median < GOAL_S)]
