"""PostgreSQL with the extension pgvector as a store of chunks. EDGE.

Source: github.com/pgvector/pgvector (0.8). Passwords come from the URL or, as libpq reads them, from `PGPASSWORD`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from meshrag.chunks import Chunk
from meshrag.errors import SlotError
from meshrag.passages import Passage
from meshrag.stores import Completion

_CONNECT_S: Final = 10
_STATEMENT_MS: Final = 60_000
# A server whose machine has gone answers nothing at all, and the system waits for hours. Source: postgresql.org/docs,
# libpq, "Parameter Key Words".
_SILENCE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
_REACHED: Final = 40  # chunks that a search looks at unless it is told otherwise; pgvector's own number
_MOST_INDEXED: Final = 2000  # dimensions: pgvector indexes no longer `vector`
_LOCK: Final = 6_724_391  # two programs that create the extension at the same time: one of them would fail


class PgvectorStore:
    """One table of chunks, and one with a row for the last run that ended. Each call has a connection of its own:
    a server that was replaced is simply asked again."""

    def __init__(self, url: str, collection: str) -> None:
        self._url = url
        self._chunks = sql.Identifier(collection)
        self._runs = sql.Identifier(f"{collection}_runs")
        self._index = sql.Identifier(f"{collection}_vector")
        self._name = collection

    def prepare(self, dimensions: int) -> None:
        with self._cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            self._do(
                cursor,
                "CREATE TABLE IF NOT EXISTS {chunks} (id text PRIMARY KEY, key text NOT NULL, start integer NOT NULL,"
                " hash text NOT NULL, body text NOT NULL, embedding vector({dimensions}) NOT NULL)",
                dimensions=sql.Literal(dimensions),
            )
            if dimensions <= _MOST_INDEXED:  # else a search looks at all chunks, and is exact
                self._do(
                    cursor, "CREATE INDEX IF NOT EXISTS {index} ON {chunks} USING hnsw (embedding vector_cosine_ops)"
                )
            self._do(
                cursor,
                "CREATE TABLE IF NOT EXISTS {runs} (id smallint PRIMARY KEY, documents integer NOT NULL,"
                " chunks integer NOT NULL, fingerprint text NOT NULL)",
            )
            present = self._dimensions(cursor)
        if present != dimensions:
            raise SlotError("store", f'table "{self._name}" has vectors of another length than {dimensions}')

    def dimensions(self) -> int | None:
        with self._cursor() as cursor:
            return self._dimensions(cursor)

    def _dimensions(self, cursor: psycopg.Cursor[Any]) -> int | None:
        cursor.execute(
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
            (f'"{self._name}"',),
        )
        row = cursor.fetchone()
        return int(row[0]) if row is not None else None

    def ids_by_key(self) -> dict[str, set[str]]:
        ids: dict[str, set[str]] = {}
        with self._cursor() as cursor:
            self._do(cursor, "SELECT key, id FROM {chunks}")
            for key, chunk_id in cursor:
                ids.setdefault(key, set()).add(chunk_id)
        return ids

    def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        rows = [
            (each.id, each.key, each.start, each.hash, each.text, _literal(vector))
            for each, vector in zip(chunks, vectors, strict=True)
        ]
        with self._cursor() as cursor:
            statement = sql.SQL(
                "INSERT INTO {chunks} (id, key, start, hash, body, embedding) VALUES (%s, %s, %s, %s, %s, %s::vector)"
                " ON CONFLICT (id) DO UPDATE SET embedding = EXCLUDED.embedding"
            ).format(chunks=self._chunks)
            cursor.executemany(statement, rows)

    def remove(self, ids: Collection[str]) -> None:
        with self._cursor() as cursor:
            self._do(cursor, "DELETE FROM {chunks} WHERE id = ANY(%s)", parameters=(list(ids),))

    def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
        with self._cursor() as cursor:
            reached = str(max(_REACHED, limit))  # an index gives no more than it looks at
            cursor.execute("SELECT set_config('hnsw.ef_search', %s, true)", (reached,))
            self._do(
                cursor,
                "SELECT id, key, start, hash, body, 1 - (embedding <=> %s::vector) FROM {chunks}"
                " ORDER BY embedding <=> %s::vector LIMIT %s",
                parameters=(_literal(vector), _literal(vector), limit),
            )
            return [Passage(Chunk(*row[:5]), float(row[5])) for row in cursor]

    def completion(self) -> Completion | None:
        with self._cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (f'"{self._name}_runs"',))
            if cursor.fetchone() == (None,):
                return None
            self._do(cursor, "SELECT documents, chunks, fingerprint FROM {runs}")
            row = cursor.fetchone()
        return Completion(*row) if row else None

    def complete(self, completion: Completion) -> None:
        with self._cursor() as cursor:
            self._do(
                cursor,
                "INSERT INTO {runs} (id, documents, chunks, fingerprint) VALUES (1, %s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET documents = EXCLUDED.documents, chunks = EXCLUDED.chunks,"
                " fingerprint = EXCLUDED.fingerprint",
                parameters=(completion.documents, completion.chunks, completion.fingerprint),
            )

    def _do(
        self,
        cursor: psycopg.Cursor[Any],
        statement: LiteralString,
        *,
        parameters: Sequence[Any] = (),
        **names: sql.Composable,
    ) -> None:
        composed = sql.SQL(statement).format(chunks=self._chunks, runs=self._runs, index=self._index, **names)
        cursor.execute(composed, parameters or None)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        """In one transaction."""
        options = f"-c statement_timeout={_STATEMENT_MS}"
        try:
            with (
                psycopg.connect(self._url, connect_timeout=_CONNECT_S, options=options, **_SILENCE) as connection,
                connection.cursor() as cursor,
            ):
                yield cursor
        except psycopg.Error as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise SlotError("store", f"PostgreSQL: {reason}") from error


def _literal(vector: Sequence[float]) -> str:
    return f"[{','.join(map(repr, vector))}]"
