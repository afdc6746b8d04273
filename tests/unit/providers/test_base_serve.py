"""The servicer over a real gRPC connection: what the engine would send and get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from meshwire.marks import SIGNATURE, UNKNOWN_STRING
from providers.plugin.provider import CheckFailure, Created, CreatedNotReady, Diff, Found, Kind, Provider, ProviderError
from providers.plugin.serve import start
from providers.plugin.values import SECRET, UNKNOWN, Properties

URN = "urn:pulumi:dev::mesh::a:b:Parent$fake:x:Thing::it"


class Fake(Provider):
    """Answers by what the inputs ask for."""

    name = "fake"
    version = "1.2.3"

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {}

    def check(
        self, token: str, *, urn: str, news: Properties, olds: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        self.seen["token"] = token
        return news, [CheckFailure("size", "is negative")] if news.get("size", 0) < 0 else []

    def diff(self, token: str, **request: Any) -> Diff:
        self.seen |= request
        same = request["old_inputs"] == request["news"]
        return Diff(changes=False) if same else Diff(True, ("size",), {"size": Kind.UPDATE_REPLACE}, True)

    def create(self, token: str, *, urn: str, inputs: Properties, timeout_s: float, preview: bool) -> Created:
        if inputs.get("fail") == "plain":
            raise ProviderError("InsufficientInstanceCapacity", "CreateThing: there is none")
        if inputs.get("fail") == "bug":
            raise KeyError("oops")
        if inputs.get("fail") == "ready":
            raise CreatedNotReady(id="t-1", outputs=inputs | {"state": "PENDING"}, reasons=["not yet [code=Timeout]"])
        return Created("" if preview else "t-1", inputs | {"state": UNKNOWN if preview else "READY"})

    def read(self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties) -> Found:  # noqa: A002
        return Found("") if id == "gone" else Found(id, outputs, inputs)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def stub(fake: Fake) -> Iterator[Any]:
    server, port = start(fake)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(grace=0).wait()


def wire(value: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def test_who_it_is(stub: Any) -> None:
    assert stub.Handshake(provider_pb2.ProviderHandshakeRequest()).accept_secrets
    assert stub.GetSchema(provider_pb2.GetSchemaRequest()).schema == '{"name": "fake", "version": "1.2.3"}'
    configured = stub.Configure(provider_pb2.ConfigureRequest(args=wire({"region": "x"})))
    assert (configured.acceptSecrets, configured.supportsPreview) == (True, True)


def test_check_failures_name_the_property(stub: Any, fake: Fake) -> None:
    answer = stub.Check(provider_pb2.CheckRequest(urn=URN, news=wire({"size": -1})))
    assert [(item.property, item.reason) for item in answer.failures] == [("size", "is negative")]
    assert fake.seen["token"] == "fake:x:Thing"


def test_diff_keeps_old_inputs_and_says_what_replaces(stub: Any, fake: Fake) -> None:
    request = provider_pb2.DiffRequest(
        urn=URN,
        id="t-1",
        olds=wire({"size": 1, "state": "READY"}),
        old_inputs=wire({"size": 1}),
        news=wire({"size": 2}),
    )
    answer = stub.Diff(request)
    assert fake.seen["old_inputs"] == {"size": 1}
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert (list(answer.replaces), answer.deleteBeforeReplace) == (["size"], True)
    assert answer.detailedDiff["size"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE
    request.news.CopyFrom(wire({"size": 1}))
    assert stub.Diff(request).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_config_changes_are_told_apart_from_none(stub: Any) -> None:
    request = provider_pb2.DiffRequest(urn=URN, old_inputs=wire({"region": "a"}), news=wire({"region": "a"}))
    assert stub.DiffConfig(request).changes == provider_pb2.DiffResponse.DIFF_NONE
    request.news.CopyFrom(wire({"region": "b"}))
    answer = stub.DiffConfig(request)
    assert (answer.changes, list(answer.replaces)) == (provider_pb2.DiffResponse.DIFF_SOME, [])


def test_previews_know_what_they_do_not_know(stub: Any) -> None:
    answer = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wire({"a": UNKNOWN_STRING}), preview=True))
    assert dict(answer.properties) == {"a": UNKNOWN_STRING, "state": UNKNOWN_STRING}


def test_a_secret_input_stays_secret_in_outputs_and_partial_failures(stub: Any) -> None:
    inputs = {"password": {SIGNATURE: SECRET, "value": "hunter2"}}
    made = stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wire(inputs)))
    assert made.properties["password"][SIGNATURE] == SECRET
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wire(inputs | {"fail": "ready"})))
    assert detail(caught.value).properties["password"][SIGNATURE] == SECRET


def detail(error: Any) -> Any:
    metadata = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    found = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(found)
    return found


def test_created_but_not_ready_keeps_id_and_state(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wire({"fail": "ready"})))
    found = detail(caught.value)
    assert (found.id, list(found.reasons)) == ("t-1", ["not yet [code=Timeout]"])
    assert found.properties["state"] == "PENDING"


@pytest.mark.parametrize(
    ("fail", "code", "message"),
    [
        ("plain", grpc.StatusCode.ABORTED, "CreateThing: there is none [code=InsufficientInstanceCapacity]"),
        ("bug", grpc.StatusCode.INTERNAL, "KeyError: 'oops'"),
    ],
)
def test_errors(stub: Any, fail: str, code: grpc.StatusCode, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Create(provider_pb2.CreateRequest(urn=URN, properties=wire({"fail": fail})))
    assert (caught.value.code(), caught.value.details().splitlines()[0]) == (code, message)


def test_what_is_gone_reads_as_no_id(stub: Any) -> None:
    assert stub.Read(provider_pb2.ReadRequest(urn=URN, id="gone")).id == ""
    assert stub.Read(provider_pb2.ReadRequest(urn=URN, id="t-1", inputs=wire({"a": 1}))).inputs["a"] == 1


def test_cancel_reaches_the_provider(stub: Any, fake: Fake) -> None:
    stub.Cancel(empty_pb2.Empty())
    assert fake.cancelled.is_set()
