"""`python -m meshctl.lab.aws --port N --lab ROOT`: serves until it is ended. EDGE.

Started by `meshctl lab up`; `GET /moto-api/` answers once it is up.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
import warnings
from pathlib import Path

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from meshctl.lab.aws.server import LabApi

SETTLE_EVERY_S = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.aws")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lab", type=Path, required=True, help="the lab's folder")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    # faults carry codes that the service models don't name
    warnings.filterwarnings("ignore", message=r"Exception\(ApiError\)")
    api = LabApi(options.lab.absolute())
    server = make_server("127.0.0.1", options.port, api, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=_settle, args=(api,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


def _settle(api: LabApi) -> None:
    """Node groups become ready while nobody asks about them, too."""
    pause = threading.Event()
    while not pause.wait(SETTLE_EVERY_S):
        api.settle()


if __name__ == "__main__":
    sys.exit(main())
