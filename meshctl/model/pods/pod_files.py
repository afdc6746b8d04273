"""Small files in pods: which key of a ConfigMap or Secret holds which of them. PURE.

Used by `meshctl.render`, which mounts them, and by `meshctl.changes`, which names them in a plan.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

MOST_BYTES: Final = 1024**2  # of all files of a mesh together: the largest ConfigMap that Kubernetes takes
MOST_KEY: Final = 253  # the most characters of a key
FILES_VOLUME: Final = "0-files"  # storage of a mesh is named with a letter first
SECRETS_VOLUME: Final = "0-secret-files"
CERTIFICATE_VOLUME: Final = "0-certificate"
CERTIFICATE_FOLDER: Final = "/run/meshctl-gateway/issued"  # of a gateway; renewed while the gateway runs
_BEGIN: Final = "file"
_PLAIN: Final = re.compile(r"[^A-Za-z0-9_.]")
_ESCAPED: Final = re.compile(r"-([0-9a-f]{2})")


def key_of(path: str) -> str:
    """The key for the file at `path` in the pod, such as `file-2fprompt.yaml`. No variable can have such a name."""
    return _BEGIN + _PLAIN.sub(lambda match: "".join(f"-{byte:02x}" for byte in match[0].encode()), path)


def path_of(key: str) -> str | None:
    """The path in the pod of the file that has this key; None for a key of anything else."""
    if not key.startswith(f"{_BEGIN}-2f"):
        return None
    parts = _ESCAPED.split(key.removeprefix(_BEGIN))
    octets = b"".join(bytes.fromhex(part) if place % 2 else part.encode() for place, part in enumerate(parts))
    return octets.decode(errors="replace")


def revision_of(files: Mapping[str, str]) -> str:
    """A digest of the files. As it changes with them, it rolls out the pods, which don't see a change of a file that is
    mounted alone."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()[:16]
