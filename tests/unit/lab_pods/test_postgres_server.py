"""PostgreSQL with pgvector as a process pod: it has the data that its volume has, and asks for passwords as told."""

from __future__ import annotations

import pytest

from meshctl.lab.images import postgres_server
from meshctl.lab.images.postgres_server import RefusedError, options


def test_it_reads_the_variables_of_the_image() -> None:
    read = options({"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "docs", "PGDATA": "/var/lib/postgresql/data/pgdata"})
    assert (read.user, read.database, read.method) == ("docs", "docs", "scram-sha-256")
    assert read.folder == "/var/lib/postgresql/data/pgdata"
    assert options({"POSTGRES_HOST_AUTH_METHOD": "trust"}).folder == postgres_server.FOLDER


@pytest.mark.parametrize("variables", [{}, {"POSTGRES_HOST_AUTH_METHOD": "ldap", "POSTGRES_PASSWORD": "p"}])
def test_it_does_not_start_without_a_password_or_with_what_is_not_known(variables: dict[str, str]) -> None:
    with pytest.raises(RefusedError):
        options(variables)
