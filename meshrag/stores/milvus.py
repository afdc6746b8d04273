"""Milvus as a store of chunks. EDGE.

Source: milvus.io/docs (2.6), pymilvus `MilvusClient`. A token for a Milvus with users comes from `RAG_STORE_TOKEN`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import grpc
import pymilvus
from pymilvus import DataType, MilvusClient, MilvusException

from meshrag.chunks import CHUNK_CHARACTERS, Chunk
from meshrag.errors import SlotError, SlotTimeoutError
from meshrag.passages import Passage
from meshrag.stores import Completion

_TIMEOUT_S: Final = 30  # of each call: the client has none of its own, and tries 75 times without one
_BATCH: Final = 1000  # rows of one request
_KEY_BYTES: Final = 4096  # a key of S3 has at most 1024, a path of Linux 4096
_TEXT_BYTES: Final = 4 * CHUNK_CHARACTERS + 4
_FIELDS: Final = ["id", "key", "start", "hash", "body"]
_RUN_FIELDS: Final = ["documents", "chunks", "fingerprint"]
_RUN_VECTOR: Final = [0.0, 1.0]  # Milvus has no collection without vectors


class MilvusStore:
    """One collection of chunks, and one with a row for the last run that ended."""

    def __init__(self, url: str, collection: str) -> None:
        self._url = url.replace("milvus://", "http://", 1)
        self._chunks = collection
        self._runs = f"{collection}_runs"
        self._connected: MilvusClient | None = None

    def prepare(self, dimensions: int) -> None:
        with self._client() as client:
            if not client.has_collection(self._chunks, timeout=_TIMEOUT_S):
                self._create(client, dimensions)
            if not client.has_collection(self._runs, timeout=_TIMEOUT_S):
                self._create_runs(client)
            client.load_collection(self._chunks, timeout=_TIMEOUT_S)
            client.load_collection(self._runs, timeout=_TIMEOUT_S)
            present = self._dimensions(client)
        if present != dimensions:
            raise SlotError("store", f'collection "{self._chunks}" has vectors of another length than {dimensions}')

    def dimensions(self) -> int | None:
        with self._client() as client:
            has_collection = client.has_collection(self._chunks, timeout=_TIMEOUT_S)
            return self._dimensions(client) if has_collection else None

    def _dimensions(self, client: MilvusClient) -> int:
        fields = client.describe_collection(self._chunks, timeout=_TIMEOUT_S)["fields"]
        (dimensions,) = [field["params"]["dim"] for field in fields if field["name"] == "embedding"]
        return int(dimensions)

    def ids_by_key(self) -> dict[str, set[str]]:
        ids: dict[str, set[str]] = {}
        with self._client() as client:
            rows = client.query_iterator(
                self._chunks, batch_size=_BATCH, output_fields=["id", "key"], timeout=_TIMEOUT_S
            )
            try:
                while batch := rows.next():
                    for row in batch:
                        ids.setdefault(row["key"], set()).add(row["id"])
            finally:
                rows.close()
        return ids

    def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        rows = [
            {
                "id": each.id,
                "key": each.key,
                "start": each.start,
                "hash": each.hash,
                "body": each.text,
                "embedding": list(vector),
            }
            for each, vector in zip(chunks, vectors, strict=True)
        ]
        with self._client() as client:
            client.upsert(self._chunks, rows, timeout=_TIMEOUT_S)

    def remove(self, ids: Collection[str]) -> None:
        listed = list(ids)
        with self._client() as client:
            for first in range(0, len(listed), _BATCH):
                client.delete(self._chunks, ids=listed[first : first + _BATCH], timeout=_TIMEOUT_S)

    def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
        with self._client() as client:
            (rows,) = client.search(
                self._chunks, [list(vector)], limit=limit, output_fields=_FIELDS, timeout=_TIMEOUT_S
            )
            return [Passage(_chunk(row["entity"]), float(row["distance"])) for row in rows]

    def completion(self) -> Completion | None:
        with self._client() as client:
            if not client.has_collection(self._runs, timeout=_TIMEOUT_S):
                return None
            client.load_collection(self._runs, timeout=_TIMEOUT_S)
            rows = client.query(self._runs, filter="id == 1", output_fields=_RUN_FIELDS, timeout=_TIMEOUT_S)
        return Completion(rows[0]["documents"], rows[0]["chunks"], rows[0]["fingerprint"]) if rows else None

    def complete(self, completion: Completion) -> None:
        row = {
            "id": 1,
            "documents": completion.documents,
            "chunks": completion.chunks,
            "fingerprint": completion.fingerprint,
            "vector": _RUN_VECTOR,
        }
        with self._client() as client:
            client.upsert(self._runs, [row], timeout=_TIMEOUT_S)

    def _create(self, client: MilvusClient, dimensions: int) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("key", DataType.VARCHAR, max_length=_KEY_BYTES)
        schema.add_field("start", DataType.INT64)
        schema.add_field("hash", DataType.VARCHAR, max_length=64)
        schema.add_field("body", DataType.VARCHAR, max_length=_TEXT_BYTES)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimensions)
        self._create_collection(client, self._chunks, schema, "embedding")

    def _create_runs(self, client: MilvusClient) -> None:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("documents", DataType.INT64)
        schema.add_field("chunks", DataType.INT64)
        schema.add_field("fingerprint", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=len(_RUN_VECTOR))
        self._create_collection(client, self._runs, schema, "vector")

    def _create_collection(self, client: MilvusClient, name: str, schema: Any, vector: str) -> None:
        """What has been written is read by whoever asks next (`Strong`): a run compares with what the last one left."""
        index = client.prepare_index_params()
        index.add_index(vector, index_type="AUTOINDEX", metric_type="COSINE")
        client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong", timeout=_TIMEOUT_S
        )

    @contextlib.contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        """A client that has failed is not used again. pymilvus hands on an `RpcError` of gRPC wherever it does not try
        again: a deadline, a quota, a token that is refused."""
        try:
            if self._connected is None:
                token = os.environ.get("RAG_STORE_TOKEN", "")
                self._connected = pymilvus.MilvusClient(uri=self._url, token=token, timeout=_TIMEOUT_S)
            yield self._connected
        except MilvusException as error:
            self._connected = None
            raise SlotError("store", f"Milvus: {error.message}") from error
        except grpc.RpcError as error:
            self._connected = None
            raise _of_wire(error) from error


def _of_wire(error: grpc.RpcError) -> SlotError:
    """Only an error of a call has a code and words of the server."""
    code = error.code() if hasattr(error, "code") else None
    if code is None:
        return SlotError("store", f"Milvus: {type(error).__name__}")
    kind = SlotTimeoutError if code is grpc.StatusCode.DEADLINE_EXCEEDED else SlotError
    return kind("store", f"Milvus: {code.name}: {error.details()}")


def _chunk(row: dict[str, Any]) -> Chunk:
    return Chunk(id=row["id"], key=row["key"], start=row["start"], hash=row["hash"], text=row["body"])
