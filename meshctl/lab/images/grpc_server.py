"""What the lab runs for a gRPC server: the standard health service, and a method that says where it runs. EDGE.

Started by `meshctl.lab.pods` in place of `ghcr.io/acme/grpc-server`. It says NOT_SERVING while it loads
(`--load-seconds`), then SERVING. SIGTERM: it goes on answering for DRAIN_SECONDS, takes no more calls, finishes what is
in flight and exits with 0.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

DRAIN_S: Final = 3.0
FINISH_S: Final = 20.0
WHERE: Final = "/acme.Server/Where"  # takes nothing, returns the environment's name as bytes
_SERVICE: Final = b"acme.Server"
_ASKED: Final = (b"", bytes((0x0A, len(_SERVICE))) + _SERVICE)  # HealthCheckRequest
_SERVING: Final = b"\x08\x01"  # HealthCheckResponse
_NOT_SERVING: Final = b"\x08\x02"


class Health:
    """The state behind `grpc.health.v1.Health/Check`: of the whole server, and of the one service that it has."""

    def __init__(self) -> None:
        self.serving = False

    def check(self, request: bytes, context: Any) -> bytes:
        if request not in _ASKED:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _SERVING if self.serving else _NOT_SERVING


def _where(_request: bytes, _context: Any) -> bytes:
    return os.environ.get("MESH_ENVIRONMENT", "").encode()


def build_server(health: Health, address: str) -> Any:
    """Raises: RuntimeError when the address is taken."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    services = {"grpc.health.v1.Health": ("Check", health.check), "acme.Server": ("Where", _where)}
    for service, (method, function) in services.items():
        handlers = {method: grpc.unary_unary_rpc_method_handler(function)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(address)
    return server


def main() -> int:
    parser = argparse.ArgumentParser(prog="grpc_server", allow_abbrev=False)
    parser.add_argument("--port", type=int, default=50051)
    parser.add_argument("--load-seconds", type=float, default=0.0)
    options, _ = parser.parse_known_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    health = Health()
    server = build_server(health, f"{os.environ.get('POD_ADDRESS', '127.0.0.1')}:{options.port}")
    server.start()
    if not stop.wait(options.load_seconds):
        health.serving = True
        sys.stdout.write(f"serving gRPC on port {options.port}\n")
        sys.stdout.flush()
        stop.wait()
        threading.Event().wait(float(os.environ.get("DRAIN_SECONDS", DRAIN_S)))
    server.stop(FINISH_S).wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
