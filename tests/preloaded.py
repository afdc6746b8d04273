"""The command line in a forked child of a process that has loaded it already, for tests of which it is not the subject.

Every command loads the Pulumi SDK, gRPC and botocore, which takes longer than most of what it then does. `CommandLine`
starts one process (`python -m tests.preloaded`) that loads them once, and has it fork for each command: the child has
its own environment, folder and output, runs `meshctl.cli.main` from the beginning and ends as any process does. What
is killed, gets signals or needs a terminal is started by itself instead. Used by `lab_fixture`. EDGE.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).parents[1]
# what the commands import when they need it; none of it starts a thread
HEAVY = (
    "boto3",
    "botocore.auth",
    "botocore.loaders",
    "dns.resolver",
    "grpc",
    "httpcore2",
    "pulumi.automation",
    "meshctl.cli.opened",
    "meshctl.deploy.session",
    "meshctl.migrate.engine_gateway",
    "stacks.aws",
    "stacks.existing",
)
SERVICES = ("ec2", "eks", "elbv2", "iam", "route53", "s3", "service-quotas", "sts")  # that commands ask AWS about
MESSAGE_BYTES = 1 << 20
START_S = 120.0


class CommandLine:
    """Runs commands in children of the preloaded process; `close` ends it."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())]
        # In a session of its own: Ctrl-C is for the tests, which still take down what they have up.
        self._process = subprocess.Popen(
            command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()

    def close(self) -> None:
        self._requests.close()  # the process ends when nobody can ask it any more
        try:
            self._process.wait(START_S)  # it may still be loading
        finally:
            self._process.kill()
            self._process.wait(timeout=30)

    def run(
        self, arguments: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text. Raises: subprocess.TimeoutExpired, with the child's group killed."""
        request = json.dumps({"arguments": list(arguments), "folder": str(folder), "env": dict(env)}).encode()
        ours, theirs = socket.socketpair()
        with ours, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with theirs:
                fds = [theirs.fileno(), out.fileno(), err.fileno()]
                socket.send_fds(self._requests, [request], fds)
            ours.settimeout(START_S)
            pid = int(_line(ours))
            ours.settimeout(timeout_s)
            try:
                code = int(_line(ours))
            except BaseException as error:  # a test's time limit among them
                _kill(pid, ours)
                if not isinstance(error, TimeoutError):
                    raise
                command = ["meshctl", *arguments]
                raise subprocess.TimeoutExpired(command, timeout_s, _text(out), _text(err)) from None
            return subprocess.CompletedProcess(["meshctl", *arguments], code, _text(out), _text(err))


def _kill(pid: int, connection: socket.socket) -> None:
    """Kill the command with its group, and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    connection.settimeout(START_S)
    with contextlib.suppress(OSError, RuntimeError):
        _line(connection)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(64)
        if not received:
            raise RuntimeError("the preloaded process has ended; its stderr says why")
        line += received
    return line


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()


def serve(requests: socket.socket) -> list[str] | None:
    """Fork for each request. Returns the command's arguments in a child; None once there are no more requests."""
    while True:
        message, fds, _, _ = socket.recv_fds(requests, MESSAGE_BYTES, 3)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass  # those that reported earlier commands
        if not message:
            return None
        reporter = os.fork()
        if not reporter:
            requests.close()
            return _report_or_become(json.loads(message), *fds)
        for fd in fds:
            os.close(fd)


def _report_or_become(request: dict[str, Any], connection_fd: int, out: int, err: int) -> list[str]:
    """In the first child: start the second one, tell its process id and its exit code, and end. Returns in the second,
    which is the command."""
    command = os.fork()
    if command:
        with contextlib.suppress(BrokenPipeError), socket.socket(fileno=connection_fd) as connection:
            connection.sendall(b"%d\n" % command)
            _, status = os.waitpid(command, 0)
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(connection_fd)
    os.setpgid(0, 0)
    for source, target in ((out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    more = [folder for folder in request["env"].get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[0:1] = [request["folder"], *(folder for folder in more if folder not in sys.path)]  # as `python -m` has it
    importlib.invalidate_caches()
    arguments: list[str] = request["arguments"]
    return arguments


def _read_ahead() -> None:
    """What each command would read again from files that never change."""
    from meshwire.aws_models import MODELS

    for data in ("endpoints", "partitions", "sdk-default-configuration"):
        MODELS.load_data(data)
    for service in SERVICES:
        MODELS.load_service_model(service, "service-2")
        MODELS.load_service_model(service, "endpoint-rule-set-1")


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    faulthandler.enable()  # a process that crashes says where
    for name in HEAVY:
        importlib.import_module(name)
    from meshctl.cli import main as command_line

    _read_ahead()
    gc.collect()
    gc.freeze()  # or the collection at each child's end would copy all that they share
    arguments = serve(requests)
    if arguments is not None:
        sys.argv = [str(command_line.__file__), *arguments]
        command_line.main()


if __name__ == "__main__":
    main()
