"""`.meshctl`: the folder next to mesh.yaml for meshctl's own files: state, passphrase, kubeconfig, the lab. EDGE.

Everything that creates a folder in it calls `make`, which also writes a `.gitignore`, so that nobody commits a
passphrase.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = ".meshctl"
_IGNORED: Final = "# made by meshctl: state, passphrase and credentials are not for version control\n*\n"


def make(folder: Path) -> None:
    """Create the folder, and a `.gitignore` in the `.meshctl` that it is or is in, unless there is one already.

    Raises: OSError when the folder can't be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = next((item for item in (folder, *folder.parents) if item.name == NAME), None)
    if own is not None:
        with suppress(OSError), (own / ".gitignore").open("x") as file:  # OSError: the file exists, or can't be written
            file.write(_IGNORED)
