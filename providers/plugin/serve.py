"""A Pulumi resource provider plugin around a `Provider`: the process, the gRPC servicer, the mapping of errors. EDGE.

Called by `python -m providers.aws` and `python -m providers.kubernetes`; calls the provider's methods, one thread for
each call. Why not `pulumi.provider.experimental`: it has no partial failure on create and update, drops the old inputs
of a diff, and sends the wrong enum from DiffConfig. Source of the protocol: pulumi/proto/pulumi/provider.proto,
3.259.0.
"""

# ruff: noqa: N802, ARG002 (the names and arguments of the protocol)

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent import futures
from typing import Any, ClassVar, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2

from providers.plugin.messages import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)
from providers.plugin.provider import CheckFailure, CreatedNotReady, Diff, Host, Provider, ProviderError
from providers.plugin.values import Secrets, decode, encode

THREADS = 128  # the engine runs as many calls at once as its --parallel says, and a waiting create holds its thread
MAX_MESSAGE_BYTES = 400 * 1024 * 1024  # the engine's own limit
ENGINE_CHECK_EVERY_S = 2.0
Answer = TypeVar("Answer")


class EngineLog(Host):
    """Messages shown beside a resource. A log that can't be delivered is dropped: it must never fail an operation."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))

    def status(self, urn: str, message: str) -> None:
        self._send(urn, message, engine_pb2.INFO, ephemeral=True)

    def warn(self, urn: str, message: str) -> None:
        self._send(urn, message, engine_pb2.WARNING, ephemeral=False)

    def _send(self, urn: str, message: str, severity: engine_pb2.LogSeverity.ValueType, *, ephemeral: bool) -> None:
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        sent = self._stub.Log.future(request, timeout=5)
        if not ephemeral:  # delivered before the call returns: the engine may end the plugin right after it
            sent.exception()


class Status(grpc.Status):  # type: ignore[misc]
    """A gRPC status with the details that the engine reads (`ErrorResourceInitFailed`)."""

    def __init__(self, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
        self.code = code
        self.details = message
        self.trailing_metadata: tuple[tuple[str, bytes], ...] = ()
        if detail is not None:
            rich = status_pb2.Status(code=code.value[0], message=message)
            rich.details.add().Pack(detail)
            self.trailing_metadata = (("grpc-status-details-bin", rich.SerializeToString()),)


def error_status(error: Exception, secrets: Secrets) -> Status:
    """The status of an error. Our own errors are ABORTED: UNKNOWN and INTERNAL tell the engine that the state may be
    corrupt.
    """
    if isinstance(error, CreatedNotReady):
        detail = provider_pb2.ErrorResourceInitFailed(
            id=error.id, properties=encode(error.outputs, secrets), reasons=error.reasons
        )
        if error.inputs is not None:
            detail.inputs.CopyFrom(encode(error.inputs, secrets))
        return Status(grpc.StatusCode.UNKNOWN, str(error), detail)
    if isinstance(error, ProviderError):
        return Status(grpc.StatusCode.ABORTED, str(error))
    if isinstance(error, NotImplementedError):
        return Status(grpc.StatusCode.UNIMPLEMENTED, str(error))
    trace = "".join(traceback.format_exception(error)[-4:])
    return Status(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}\n{trace}")


def answer(context: grpc.ServicerContext, secrets: Secrets, call: Callable[[], Answer]) -> Answer:
    """`call()`, with any error turned into a gRPC status (the one place where errors leave the process)."""
    try:
        return call()
    except Exception as error:
        _abort(context, error_status(error, secrets))


def _abort(context: grpc.ServicerContext, status: Status) -> NoReturn:
    context.abort_with_status(status)
    raise AssertionError("abort_with_status always raises")


def token_of(urn: str) -> str:
    """`urn:pulumi:stack::project::parent$type::name` -> `type`."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """One method for each RPC: decode, call the provider, encode. Secrets of a request are secret in its answer."""

    ACCEPTS: ClassVar[dict[str, bool]] = {"acceptSecrets": True, "acceptResources": False, "acceptOutputs": False}

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def Handshake(self, request: Any, context: Any) -> Any:
        if request.engine_address:
            self.provider.host = EngineLog(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: Any) -> Any:
        self.provider.host = EngineLog(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self.provider.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        schema = {"name": self.provider.name, "version": self.provider.version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def Configure(self, request: Any, context: Any) -> Any:
        config = decode(request.args)
        answer(context, Secrets(), lambda: self.provider.configure(config))
        return provider_pb2.ConfigureResponse(supportsPreview=True, **self.ACCEPTS)

    def CheckConfig(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        news = decode(request.news, secrets)
        inputs, failures = answer(context, secrets, lambda: self.provider.check_config(news))
        return answer(context, secrets, lambda: check_response(inputs, failures, secrets))

    def DiffConfig(self, request: Any, context: Any) -> Any:
        olds, news = decode(request.old_inputs or request.olds), decode(request.news)
        return answer(context, Secrets(), lambda: diff_response(self.provider.diff_config(olds=olds, news=news)))

    def Check(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        news, olds = decode(request.news, secrets), decode(request.olds, secrets)

        def check() -> Any:
            inputs, failures = self.provider.check(token_of(request.urn), urn=request.urn, news=news, olds=olds)
            return check_response(inputs, failures, secrets)

        return answer(context, secrets, check)

    def Diff(self, request: Any, context: Any) -> Any:
        def diff() -> Any:
            difference = self.provider.diff(
                token_of(request.urn),
                urn=request.urn,
                id=request.id,
                old_inputs=decode(request.old_inputs),
                old_outputs=decode(request.olds),
                news=decode(request.news),
                ignore_changes=list(request.ignoreChanges),
            )
            return diff_response(difference)

        return answer(context, Secrets(), diff)

    def Create(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        inputs = decode(request.properties, secrets)

        def create() -> Any:
            made = self.provider.create(
                token_of(request.urn),
                urn=request.urn,
                inputs=inputs,
                timeout_s=request.timeout,
                preview=request.preview,
            )
            return provider_pb2.CreateResponse(id=made.id, properties=encode(made.outputs, secrets))

        return answer(context, secrets, create)

    def Read(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        inputs, outputs = decode(request.inputs, secrets), decode(request.properties, secrets)

        def read() -> Any:
            resource = self.provider.read(
                token_of(request.urn), urn=request.urn, id=request.id, inputs=inputs, outputs=outputs
            )
            if not resource.id:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=resource.id, properties=encode(resource.outputs, secrets), inputs=encode(resource.inputs, secrets)
            )

        return answer(context, secrets, read)

    def Update(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        news = decode(request.news, secrets)
        old_inputs, old_outputs = decode(request.old_inputs, secrets), decode(request.olds, secrets)

        def update() -> Any:
            outputs = self.provider.update(
                token_of(request.urn),
                urn=request.urn,
                id=request.id,
                old_inputs=old_inputs,
                old_outputs=old_outputs,
                news=news,
                timeout_s=request.timeout,
                preview=request.preview,
                ignore_changes=list(request.ignoreChanges),
            )
            return provider_pb2.UpdateResponse(properties=encode(outputs, secrets))

        return answer(context, secrets, update)

    def Delete(self, request: Any, context: Any) -> Any:
        inputs, outputs = decode(request.old_inputs), decode(request.properties)

        def delete() -> Any:
            self.provider.delete(
                token_of(request.urn),
                urn=request.urn,
                id=request.id,
                inputs=inputs,
                outputs=outputs,
                timeout_s=request.timeout,
            )
            return empty_pb2.Empty()

        return answer(context, Secrets(), delete)

    def Invoke(self, request: Any, context: Any) -> Any:
        secrets = Secrets()
        args = decode(request.args, secrets)

        def invoke() -> Any:
            result = self.provider.invoke(request.tok, args=args)
            return provider_pb2.InvokeResponse(**{"return": encode(result, secrets)})

        return answer(context, secrets, invoke)

    def Cancel(self, request: Any, context: Any) -> Any:
        self.provider.cancel()
        return empty_pb2.Empty()


def check_response(inputs: dict[str, Any], failures: list[CheckFailure], secrets: Secrets) -> Any:
    wrong = [provider_pb2.CheckFailure(property=item.path, reason=item.reason) for item in failures]
    return provider_pb2.CheckResponse(inputs=encode(inputs, secrets), failures=wrong)


def diff_response(diff: Diff) -> Any:
    detailed = {
        path: provider_pb2.PropertyDiff(
            kind=provider_pb2.PropertyDiff.Kind.Value(kind.value), inputDiff=diff.input_diff
        )
        for path, kind in diff.detailed.items()
    }
    response = provider_pb2.DiffResponse
    return response(
        changes=response.DIFF_SOME if diff.changes else response.DIFF_NONE,
        replaces=diff.replaces,
        diffs=sorted({path.split(".")[0].split("[")[0] for path in diff.detailed} | set(diff.replaces)),
        detailedDiff=detailed,
        hasDetailedDiff=bool(detailed),
        deleteBeforeReplace=diff.delete_before_replace,
    )


def start(provider: Provider) -> tuple[grpc.Server, int]:
    """A running server on a free loopback port, and the port. Used by `serve` and by tests."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, int(port)


def serve(provider: Provider, arguments: list[str] | None = None) -> None:
    """Runs the plugin until the engine is gone: port on stdout, engine address as first argument, like every plugin."""
    parser = argparse.ArgumentParser(description=f"Pulumi resource provider {provider.name}")
    parser.add_argument("engine", nargs="?", default="", help="address of the Pulumi engine")
    engine = parser.parse_known_args(arguments)[0].engine
    os.environ.pop(
        "PULUMI_CONFIG_PASSPHRASE", None
    )  # the engine's; a credential program that we start has no use for it
    if engine:
        provider.host = EngineLog(engine)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine ends its plugins by SIGINT and waits 5 s for each
        signal.signal(number, lambda *_: stop.set())
    server, port = start(provider)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    _wait(engine, stop)
    provider.cancel()
    server.stop(grace=5).wait()
    provider.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # The engine ends its plugins one after the other, and its command ends after them. All calls are answered: what the
    # interpreter would still do (join idle threads, take down modules) helps nobody, and takes longer than the rest.
    os._exit(0)


def _wait(engine: str, stop: threading.Event) -> None:
    """Until told to stop, or the engine no longer listens: an engine that was killed must leave no orphan behind."""
    misses = 0
    while not stop.wait(ENGINE_CHECK_EVERY_S) and misses < 2:
        misses = 0 if not engine or _listens(engine) else misses + 1


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host or "127.0.0.1", int(port)), timeout=2).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # busy is not gone
    return True
