"""`.meshctl`: the folder beside mesh.yaml for what meshctl keeps: state, passphrase, kubeconfig, the lab. EDGE.

Whatever makes a folder in it calls `make`, so that no version control offers a passphrase for the next commit.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

NAME: Final = ".meshctl"
_IGNORED: Final = "# made by meshctl: state, passphrase and credentials are not for version control\n*\n"


def make(folder: Path) -> None:
    """Make the folder. A `.meshctl` that it is, or lies in, has a `.gitignore` then, also one of an older version; a
    `.gitignore` that is there already stays as it is. Raises: OSError where the folder can't be made."""
    folder.mkdir(parents=True, exist_ok=True)
    own = next((item for item in (folder, *folder.parents) if item.name == NAME), None)
    if own is not None:
        with suppress(OSError), (own / ".gitignore").open("x") as file:  # OSError: it is there, or can't be
            file.write(_IGNORED)
