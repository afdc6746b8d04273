"""The lab as a pytest fixture: started once for a run, ended with it.

`MESHCTL_LAB_ROOT` names a lab that is up already: it is used and left running, which makes work on one test quick.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from meshctl import own_folder, tools
from meshctl.lab import environment
from meshctl.lab.aws import quotas
from meshctl.lab.state import ACCOUNT, Lab
from tests.preloaded import CommandLine
from tests.waiting import COMMAND_S
from tests.when_killed import when_killed

# Tests name zones by their letters, and types that they have: those of one account.
LETTERS_OF_DUMP = json.dumps({"zoneSeed": None})
LAB_S = 300.0  # for a whole lab to come up or go down


@dataclass(frozen=True)
class RunningLab:
    """A lab, and the usual tools pointed at it. `folder` is where a mesh's files may be put; `variables` are set for
    all that is run, beside the lab's own."""

    lab: Lab
    folder: Path
    commands: CommandLine
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The process environment with the lab's variables, for subprocesses run in `folder`."""
        hidden = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        base = {name: value for name, value in os.environ.items() if name not in hidden}
        faults = {"PYTHONFAULTHANDLER": "1"}  # a process that crashes says where
        return {**base, **faults, **environment.variables(self.lab, self.folder), **self.variables}

    @property
    def ports(self) -> dict[str, int]:
        ports: dict[str, int] = self.lab.read()["ports"]
        return ports

    def boto3(self, service: str, profile: str = "default") -> Any:
        """A client that reads only the lab's AWS files; the test's own environment stays as it is."""
        core = botocore.session.Session(profile=profile)
        core.set_config_variable("config_file", self.env["AWS_CONFIG_FILE"])
        core.set_config_variable("credentials_file", self.env["AWS_SHARED_CREDENTIALS_FILE"])
        session: Any = boto3.Session(botocore_session=core, region_name="us-east-1")  # typed for literal names only
        return session.client(service)

    def meshctl(
        self, *arguments: str, check: bool = True, timeout_s: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in `folder`, with more environment `variables` if any are given.

        It runs in a child of the preloaded process. With `check`, anything but exit code 0 fails the test with its
        output.
        """
        env = {**self.env, **variables}
        done = self.commands.run(arguments, folder=self.folder, env=env, timeout_s=timeout_s)
        if check and done.returncode != 0:
            pytest.fail(f"meshctl {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.meshctl("--output", "json", *arguments).stdout)

    def kubectl(self, context: str, *arguments: str) -> str:
        command = [str(tools.find("kubectl")), "--context", context, *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True, timeout=COMMAND_S)
        return done.stdout

    def at(self, folder: Path, **variables: str) -> RunningLab:
        """The same lab for another mesh's folder."""
        return replace(self, folder=folder, variables=variables)


@pytest.fixture(scope="session")
def command_lines() -> Iterator[CommandLine]:
    """The preloaded process of this worker."""
    made = CommandLine()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, command_lines: CommandLine) -> Iterator[RunningLab]:
    given = os.environ.get("MESHCTL_LAB_ROOT")
    folder = tmp_path_factory.mktemp("mesh")
    if given:
        if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
            pytest.fail("MESHCTL_LAB_ROOT names one lab, for one worker: add `-n 0`")
        yield RunningLab(Lab(Path(given).absolute()), folder, command_lines)
        return
    root = tmp_path_factory.mktemp("lab") / "root"
    down = [sys.executable, "-m", "meshctl.cli.main", "lab", "down"]
    with when_killed(down, {**os.environ, "MESHCTL_LAB_ROOT": str(root)}):
        command_line(root, "up")
        raise_quotas(root)
        try:
            yield RunningLab(Lab(root), folder, command_lines)
        finally:
            command_line(root, "down")


def raise_quotas(root: Path) -> None:
    """The lab's AWS account may have whatever tests ask for. What it refuses is tested by `test_lab_eks_refusals`."""
    (root / "quotas.json").write_text(json.dumps(dict.fromkeys(quotas.ALL, 1_000_000)))


def command_line(root: Path, *arguments: str, json_output: bool = False) -> str:
    """`meshctl lab …` for the lab at `root`, as a user runs it; what it prints."""
    if arguments[:1] == ("up",) and not (root / ACCOUNT).exists():
        own_folder.make(root)
        (root / ACCOUNT).write_text(LETTERS_OF_DUMP)
    form = "json" if json_output else "human"
    command = [sys.executable, "-m", "meshctl.cli.main", "--output", form, "lab", *arguments]
    env = {**os.environ, "MESHCTL_LAB_ROOT": str(root)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=LAB_S)
    if done.returncode != 0:
        pytest.fail(f"meshctl lab {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout
