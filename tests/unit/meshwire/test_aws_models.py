"""Botocore's descriptions of services are read once for a process, however many threads ask at the same time."""

from __future__ import annotations

import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore import loaders

from meshctl.clients.aws.aws_session import aws_session
from meshwire import aws_models
from providers.aws import client

THREADS = 16


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often each file was read, by its path. Reading takes long enough that others come meanwhile."""
    counts: collections.Counter[str] = collections.Counter()
    load = loaders.JSONFileLoader.load_file

    def counted(self: loaders.JSONFileLoader, file_path: str) -> Any:
        content = load(self, file_path)
        if content is not None:
            counts[file_path] += 1
            time.sleep(0.01)
        return content

    monkeypatch.setattr(loaders.JSONFileLoader, "load_file", counted)
    monkeypatch.setattr(aws_models, "MODELS", aws_models.ServiceModels())
    return counts


def at_once(ask: Any) -> list[Any]:
    start = threading.Barrier(THREADS)

    def one(_: int) -> Any:
        start.wait(timeout=60)
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def test_the_plugin_reads_a_model_once_for_all_of_its_threads(
    read: collections.Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_models", {})
    clients = client.AwsClients(client.Settings(region="us-east-1"))
    at_once(lambda: (clients.model("sts"), clients.client("sts")))
    assert read
    assert set(read.values()) == {1}


def test_the_sessions_of_a_command_read_a_model_once(read: collections.Counter[str]) -> None:
    at_once(lambda: aws_session("", "us-east-1").create_client("sts"))
    assert any("sts" in path for path in read)
    assert set(read.values()) == {1}


def test_who_has_models_in_a_folder_gets_those(
    read: collections.Counter[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    session = aws_session("", "us-east-1")
    assert str(tmp_path) in session.get_component("data_loader").search_paths
