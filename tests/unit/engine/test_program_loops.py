"""The event loop of an inline program is closed, however its run ends. The engine is a gRPC server in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pulumi
import pytest
from google.protobuf import empty_pb2
from pulumi.automation import _stack
from pulumi.runtime import settings
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    language_pb2,
    resource_pb2,
    resource_pb2_grpc,
)

from meshctl.engine import pulumi_private


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Takes every resource."""

    def SupportsFeature(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's word)
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:s::p::{request.type}::{request.name}", id="x")

    def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()


class Engine(engine_pb2_grpc.EngineServicer):
    """Listens to log lines."""

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def SetRootResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        return engine_pb2.SetRootResourceResponse()


@pytest.fixture
def engine() -> Iterator[tuple[grpc.Server, int]]:
    with ThreadPoolExecutor(max_workers=8) as threads:
        server = grpc.server(threads)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
        engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield server, port
        server.stop(grace=0).wait(10)
    settings.reset_options()


def run(program: Callable[[], None], port: int) -> str:
    """The error of the run, "" for none, as the SDK would answer it to the engine."""
    address = f"127.0.0.1:{port}"
    request = language_pb2.RunRequest(project="p", stack="s", monitor_address=address, args=[address], parallel=2)
    server: Any = vars(_stack)["LanguageServer"](program)
    return str(server.Run(request, None).error)


@pytest.fixture
def loops() -> list[asyncio.AbstractEventLoop]:
    return []


@pytest.fixture
def things(loops: list[asyncio.AbstractEventLoop]) -> Callable[[], None]:
    """A program of two resources."""

    def program() -> None:
        loops.append(asyncio.get_running_loop())
        first = pulumi.CustomResource("shelf:index:Plain", "first", {"text": "a"})
        pulumi.CustomResource("shelf:index:Plain", "second", {"of": first.id})

    return program


def test_the_sdk_runs_programs_by_our_server() -> None:
    assert vars(_stack)["LanguageServer"] is pulumi_private.ClosingLanguageServer


def test_a_run_that_ends_well(
    engine: tuple[grpc.Server, int], things: Callable[[], None], loops: list[asyncio.AbstractEventLoop]
) -> None:
    assert run(things, engine[1]) == ""
    assert [loop.is_closed() for loop in loops] == [True]


def test_a_program_that_refuses(
    engine: tuple[grpc.Server, int], things: Callable[[], None], loops: list[asyncio.AbstractEventLoop]
) -> None:
    def program() -> None:
        things()
        raise ValueError("not in this region")

    assert "not in this region" in run(program, engine[1])
    assert [loop.is_closed() for loop in loops] == [True]


@pytest.mark.parametrize("resources", [True, False])
def test_an_engine_that_ends_before_its_program(
    engine: tuple[grpc.Server, int],
    things: Callable[[], None],
    loops: list[asyncio.AbstractEventLoop],
    *,
    resources: bool,
) -> None:
    """Of a run that was interrupted, or failed elsewhere: the SDK's last words to it are an error."""
    server, port = engine

    def program() -> None:
        server.stop(grace=0).wait(10)
        if resources:
            things()
        else:
            loops.append(asyncio.get_running_loop())

    with pytest.raises(grpc.RpcError):
        run(program, port)
    assert [loop.is_closed() for loop in loops] == [True]
