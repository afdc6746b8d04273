"""Sizes of a benchmark run, and what its rows share: the lab and the example's folder. EDGE."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from meshctl.lab import environment, up
from meshctl.lab.state import Lab
from tests.bench.samples import MESHCTL, Ended, run
from tests.lab_fixture import raise_quotas

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "llm-prod"
_HIDDEN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MESHCTL_LAB_ROOT")


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `resources` is the larger of the two numbers of the row `scale`."""

    repetitions: int
    resources: int
    naive: bool
    pools: int
    environments: int
    sync_mib: int
    rate: int
    cutover: bool
    lab_starts: int
    terraform_plugins: Path | None = None


QUICK = Sizes(3, 400, naive=True, pools=1000, environments=100, sync_mib=128, rate=100, cutover=False, lab_starts=1)
FULL = Sizes(7, 2000, naive=True, pools=1000, environments=100, sync_mib=1024, rate=200, cutover=True, lab_starts=3)


@dataclass
class Bench:
    """One run: a folder of its own, and a lab that starts when a row first asks for it."""

    sizes: Sizes
    folder: Path
    lab_start_s: list[float] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    @property
    def base_env(self) -> dict[str, str]:
        """The process environment without what would point meshctl elsewhere; the code under test can be imported."""
        kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        return {**kept, "PYTHONPATH": str(ROOT), "HF_TOKEN": "hf_bench", "AWS_EC2_METADATA_DISABLED": "true"}

    @cached_property
    def lab(self) -> Lab:
        """The lab, started with the command line; how long that took is kept for the row `lab`."""
        found = Lab(self.folder / "lab")
        self.say("starting a lab")
        self.lab_start_s.append(start_lab(self, found).seconds)
        return found

    @cached_property
    def example(self) -> Path:
        """A folder with the example's mesh."""
        folder = self.folder / "llm-prod"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".meshctl"))
        return folder

    @property
    def lab_env(self) -> dict[str, str]:
        return {**self.base_env, **environment.variables(self.lab, self.example)}

    def meshctl(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> Ended:
        """Run the command line on the example in the lab."""
        return run([*MESHCTL, *arguments], cwd=self.example, env=self.lab_env, codes=codes)


def start_lab(bench: Bench, lab: Lab) -> Ended:
    ended = run([*MESHCTL, "lab", "up"], cwd=bench.folder, env={**bench.base_env, "MESHCTL_LAB_ROOT": str(lab.root)})
    raise_quotas(lab.root)
    return ended


@contextmanager
def opened(sizes: Sizes) -> Iterator[Bench]:
    """A bench; its lab and folder are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="meshctl-bench-"))
    bench = Bench(sizes, folder)
    try:
        yield bench
    finally:
        if "lab" in bench.__dict__:
            up.down(bench.lab)
        shutil.rmtree(folder, ignore_errors=True)
