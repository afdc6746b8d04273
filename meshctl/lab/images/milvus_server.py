"""What the lab runs for Milvus: the server of milvus-lite, which speaks the same protocol. EDGE.

Started by `meshctl.lab.pods` in place of `milvusdb/milvus`, where the extra `lab-rag` is installed. As there, the API
is at 19530, `/healthz` at 9091 and all data below `/var/lib/milvus`. An image that is told of an etcd elsewhere
(`ETCD_ENDPOINTS`) is run alone as well. Source: milvus.io/docs, "Run Milvus in Docker".
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "/var/lib/milvus"
PORT: Final = 19530
HEALTH_PORT: Final = 9091
_OWN_FOLDER: Final = "lite"


def is_installed() -> bool:
    return importlib.util.find_spec("milvus_lite") is not None


class _Health(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        pass

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> int:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    ends = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ends.set())
    address = os.environ.get("POD_ADDRESS", "127.0.0.1")
    folder = Path.cwd() / _OWN_FOLDER  # of the image: `FOLDER`
    server, database, _port = start_server_in_thread(str(folder), address, PORT)
    health = HTTPServer((address, HEALTH_PORT), _Health)  # once the API answers
    threading.Thread(target=health.serve_forever, daemon=True).start()
    ends.wait()
    server.stop(grace=2).wait()
    database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
