"""`pulumi preview` of an environment's stack with nothing of meshctl around it: the baseline of the row `plan`. EDGE.

    python -m tests.bench.raw_preview DEPLOYMENT_JSON WORK_FOLDER PASSPHRASE_FILE [SECRET]…

Runs in the stack's own work folder: the same program, providers and state as `meshctl plan`, and one start of pulumi.
The program is hosted as the Automation API hosts an inline one; without events, version check or stack selection.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pulumi
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2_grpc

import stacks.aws
from meshctl import render, tools
from meshctl.model.deployment import Deployment

OPTIONS = [("grpc.max_receive_message_length", 400 << 20)]


def main() -> int:
    deployment = Deployment.model_validate_json(Path(sys.argv[1]).read_text())

    def program() -> None:
        late: dict[str, Any] = {f"secret.{name}": pulumi.Output.secret(os.environ["HF_TOKEN"]) for name in sys.argv[4:]}
        late |= {f"revision.{name}": "1" for name in render.secrets(deployment)}  # as of the first `up`
        stacks.aws.declare(deployment, late)

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=OPTIONS)
    host = LanguageServer(program)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    command = [str(tools.find("pulumi")), "preview", "--non-interactive", "--stack", deployment.environment]
    command += [f"--client=127.0.0.1:{port}", "--exec-kind", "auto.inline", "--parallel", "32"]
    environment = {
        **os.environ,
        "PULUMI_CONFIG_PASSPHRASE_FILE": sys.argv[3],
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_AUTOMATION_API": "true",
    }
    done = subprocess.run(command, cwd=sys.argv[2], env=environment, check=False, timeout=600)
    server.stop(0)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
