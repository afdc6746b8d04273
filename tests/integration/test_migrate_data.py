"""Real data between two real object stores with different keys: seed, change, delta, compare, tamper, kill."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshctl.engine.state_store import open_state_store
from meshctl.errors import CredentialsError, LockedError, MigrationError
from meshctl.lab import stores
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.journal import open_journal
from meshctl.migrate.planning import store_facts
from meshctl.migrate.steps.finish import uncompared_keys
from meshctl.objects import listing, sync, verify
from meshctl.objects.listing import s3_client
from meshctl.objects.store import ObjectAccess
from tests.waiting import WAIT_S, end

SMALL = 200
LARGE_MIB = 24
PART_MIB = 8
Pair = tuple[ObjectAccess, ObjectAccess]  # source and target


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two object stores on loopback, each with keys that the other does not know."""
    root = tmp_path_factory.mktemp("lab")
    processes, found = [], []
    try:
        for name, port in zip(stores.NAMES, stores.free_ports(2), strict=True):
            process = stores.start(root, name, port)
            processes.append(process)
            stores.wait_healthy(port, process)
            keys = stores.keys(root, name)
            endpoint = f"http://127.0.0.1:{port}"
            found.append(ObjectAccess("", "", endpoint, "us-east-1", keys.access_key, keys.secret_key, "", "path"))
        yield found[0], found[1]
    finally:
        for process in processes:
            end(process)


@pytest.fixture
def pair(servers: Pair, request: pytest.FixtureRequest) -> Pair:
    """A fresh bucket on either side, the source's with small objects and large ones in parts."""
    name = request.node.name.replace("_", "-")[:50]
    source, target = (in_bucket(access, name) for access in servers)
    fill(source)
    return source, target


def in_bucket(access: ObjectAccess, bucket: str) -> ObjectAccess:
    found = replace(access, bucket=bucket)
    s3_client(found).create_bucket(Bucket=bucket)
    return found


def fill(access: ObjectAccess) -> None:
    s3 = s3_client(access)
    for number in range(SMALL):
        metadata = {"step": str(number)}
        key = f"small/{number % 7}/object {number:03d} ü+&.txt"
        s3.put_object(
            Bucket=access.bucket,
            Key=key,
            Body=os.urandom(1 + number * 37),
            ContentType="text/x-mesh",
            Metadata=metadata,
        )
    for number in range(2):
        put_in_parts(s3, access.bucket, f"large/{number}.bin")


def put_in_parts(s3: Any, bucket: str, key: str, bodies: list[bytes] | None = None) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number, body in enumerate(bodies or [os.urandom(PART_MIB << 20) for _ in range(LARGE_MIB // PART_MIB)], 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def moved(source: ObjectAccess, target: ObjectAccess, **options: Any) -> sync.CopyResult:
    return sync.copy(lambda: source, lambda: target, **{"delete": True, **options})


def compared(source: ObjectAccess, target: ObjectAccess, **options: Any) -> verify.Comparison:
    return verify.compare(lambda: source, lambda: target, **options)


def test_seed_then_delta_then_equal(pair: Pair) -> None:
    source, target = pair
    seen: list[tuple[int, int]] = []
    seeded = moved(source, target, on_copied=lambda done, total, *_: seen.append((done, total)))
    assert seeded.objects == SMALL + 2
    assert seeded.total_bytes > 2 * LARGE_MIB << 20
    assert seen[-1][0] == seen[-1][1] == seeded.total_bytes

    s3 = s3_client(source)
    s3.put_object(Bucket=source.bucket, Key="small/0/object 000 ü+&.txt", Body=b"changed")
    s3.put_object(Bucket=source.bucket, Key="new", Body=b"new")
    s3.delete_object(Bucket=source.bucket, Key="small/1/object 001 ü+&.txt")
    delta = moved(source, target)
    assert (delta.objects, delta.deleted) == (2, 1)

    found = compared(source, target)
    assert found.equal
    assert found.source == found.target
    assert found.source.objects == SMALL + 2
    head = s3_client(target).head_object(Bucket=target.bucket, Key="small/2/object 002 ü+&.txt")
    assert head["ContentType"] == "text/x-mesh"
    assert head["Metadata"]["step"] == "2"


def test_what_is_said_of_an_object_is_moved_though_its_content_stayed(pair: Pair) -> None:
    source, target = pair
    moved(source, target, delete=False, live=True)
    s3, keys = s3_client(source), ("small/0/object 000 ü+&.txt", "small/1/object 001 ü+&.txt", "large/0.bin")
    for key in keys:
        place = {"Bucket": source.bucket, "Key": key}
        s3.copy_object(
            **place, CopySource=place, MetadataDirective="REPLACE", ContentType="text/y", Metadata={"step": "new"}
        )
    assert moved(source, target, since_s=time.time() - 60).objects == len(keys)
    for key in keys:
        head = s3_client(target).head_object(Bucket=target.bucket, Key=key)
        assert head["ContentType"] == "text/y"
        assert head["Metadata"]["step"] == "new"
    assert moved(source, target).objects == 0
    assert compared(source, target).equal


@pytest.mark.exhaustive
def test_a_seed_that_is_done_again_hides_no_new_metadata(pair: Pair) -> None:
    source, target = pair
    moved(source, target, delete=False, live=True)
    s3, key = s3_client(source), "small/3/object 003 ü+&.txt"
    place = {"Bucket": source.bucket, "Key": key}
    s3.copy_object(**place, CopySource=place, MetadataDirective="REPLACE", Metadata={"step": "new"})
    assert moved(source, target, delete=False, live=True, since_s=math.inf).objects == 0
    assert moved(source, target, delete=False, live=True).objects == 1
    assert s3_client(target).head_object(Bucket=target.bucket, Key=key)["Metadata"]["step"] == "new"


@pytest.mark.exhaustive
def test_large_objects_are_compared_by_content(pair: Pair) -> None:
    source, target = pair
    moved(source, target)
    assert compared(source, target).equal
    body = bytearray(s3_client(target).get_object(Bucket=target.bucket, Key="large/0.bin")["Body"].read())
    body[len(body) // 2] ^= 1
    s3_client(target).put_object(Bucket=target.bucket, Key="large/0.bin", Body=bytes(body))
    found = compared(source, target)
    assert found.differing == ("large/0.bin",)
    assert found.source.digest != found.target.digest
    # size and time may say the same: naming the key copies it whatever they say
    moved(source, target, recopy=("large/0.bin",))
    assert compared(source, target, deep=True).equal


@pytest.mark.exhaustive
def test_what_was_seeded_in_parts_is_not_copied_again(pair: Pair) -> None:
    """Written anew with the same content: size and ETag are what they were, the time alone is another."""
    source, target = pair
    seeded = moved(source, target, delete=False, live=True)
    assert sorted(seeded.etags) == ["large/0.bin", "large/1.bin"]
    s3, untouched = s3_client(source), listing.list_objects(source)
    time.sleep(1.1)  # times tell whole seconds apart
    for key in ("large/0.bin", "large/1.bin"):
        write_again(s3, source.bucket, key)
    written = listing.list_objects(source)
    assert [written[key].etag for key in seeded.etags] == [untouched[key].etag for key in seeded.etags]
    assert moved(source, target, seeded_etags=seeded.etags) == sync.CopyResult(0, 0, 0)
    assert moved(source, target).objects == 2, "rclone alone takes them for changed"

    put_in_parts(s3, source.bucket, "large/0.bin")
    s3_client(target).put_object(Bucket=target.bucket, Key="large/1.bin", Body=os.urandom(LARGE_MIB << 20))
    s3.put_object(Bucket=source.bucket, Key="new", Body=b"new")
    assert moved(source, target, seeded_etags=seeded.etags).objects == 3, "what changed on either side is copied"
    assert compared(source, target).equal


def write_again(s3: Any, bucket: str, key: str) -> None:
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    parts = [body[at : at + (PART_MIB << 20)] for at in range(0, len(body), PART_MIB << 20)]
    put_in_parts(s3, bucket, key, parts)


def test_missing_and_extra_objects_are_found(pair: Pair) -> None:
    source, target = pair
    moved(source, target)
    s3 = s3_client(target)
    s3.delete_object(Bucket=target.bucket, Key="small/3/object 003 ü+&.txt")
    s3.put_object(Bucket=target.bucket, Key="stranger", Body=b"?")
    found = compared(source, target)
    assert (found.missing, found.extra) == (("small/3/object 003 ü+&.txt",), ("stranger",))
    facts = store_facts.facts("data", source, target)
    assert (facts.objects, facts.target_objects, facts.foreign_objects) == (SMALL + 2, SMALL + 2, 1)


@pytest.mark.exhaustive
def test_what_comes_to_the_source_after_the_comparison_is_told(pair: Pair) -> None:
    source, target = pair
    moved(source, target)
    until = compared(source, target).source.newest
    s3_client(target).delete_object(Bucket=target.bucket, Key="large/0.bin")  # the target's own business
    assert uncompared_keys(listing.list_objects(source), listing.list_objects(target), until) == []
    time.sleep(1.1)  # listings may tell whole seconds only
    s3_client(source).put_object(Bucket=source.bucket, Key="late", Body=b"late")
    assert uncompared_keys(listing.list_objects(source), listing.list_objects(target), until) == ["late"]


@pytest.mark.exhaustive
def test_a_seed_bears_objects_that_come_and_go(pair: Pair) -> None:
    source, target = pair
    ended = threading.Event()

    def train() -> None:
        s3 = s3_client(source)
        for step in itertools.count():
            s3.put_object(Bucket=source.bucket, Key=f"a/step-{step:06d}", Body=os.urandom(1 << 18))
            s3.put_object(Bucket=source.bucket, Key="a/latest", Body=f"{step:06d}".encode())
            s3.delete_object(Bucket=source.bucket, Key=f"a/step-{step - 2:06d}")
            if ended.is_set():
                return

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        for _ in range(3):
            moved(source, target, delete=False, live=True)
    finally:
        ended.set()
        trainer.join(WAIT_S)
    moved(source, target)
    assert compared(source, target).equal


def test_a_copy_back_deletes_nothing(pair: Pair) -> None:
    source, target = pair
    s3_client(target).put_object(Bucket=target.bucket, Key="step-9", Body=b"trained here")
    moved(target, source, delete=False)
    assert len(listing.list_objects(source)) == SMALL + 3


def test_a_prefix_is_moved_alone(servers: Pair) -> None:
    source, target = (in_bucket(access, "prefixed") for access in servers)
    s3_client(source).put_object(Bucket="prefixed", Key="mine/a", Body=b"1")
    s3_client(source).put_object(Bucket="prefixed", Key="other/b", Body=b"2")
    s3_client(target).put_object(Bucket="prefixed", Key="kept", Body=b"3")
    mine, theirs = replace(source, prefix="mine"), replace(target, prefix="moved/here")
    moved(mine, theirs)
    assert sorted(listing.list_objects(target)) == ["kept", "moved/here/a"]
    assert compared(mine, theirs).equal


def test_wrong_keys_are_an_error_with_rclone_s_words(pair: Pair) -> None:
    source, target = pair
    wrong = replace(target, secret_key="not-the-secret")
    with pytest.raises(CredentialsError):
        moved(source, wrong)
    accesses = itertools.chain([target], itertools.repeat(wrong))  # the listing is let in, the copy no longer
    with pytest.raises(MigrationError) as error:
        sync.copy(lambda: source, lambda: next(accesses), delete=True)
    assert "Signature" in error.value.why or "403" in error.value.why
    assert "not-the-secret" not in error.value.why


def test_rclone_ends_when_the_copying_process_is_killed(pair: Pair) -> None:
    source, target = pair
    program = (
        "import sys, json; from meshctl.objects.store import ObjectAccess; from meshctl.objects import sync\n"
        "a, b = (ObjectAccess(**o) for o in json.loads(sys.stdin.read()))\n"
        "sync._OPTIONS += ('--bwlimit=100k',)\n"
        "sync.copy(lambda: a, lambda: b, delete=True, on_copied=lambda *_: print('copying', flush=True))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([source.__dict__, target.__dict__]))
            process.stdin.close()
            assert process.stdout.readline() == "copying\n"
            children = psutil.Process(process.pid).children(recursive=True)
            arguments = " ".join(part for child in children for part in child.cmdline())
            assert children
            assert source.secret_key not in arguments
            assert target.secret_key not in arguments
        finally:
            process.kill()
        process.wait(WAIT_S)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive


def test_journal_and_lock_beside_a_state_in_a_bucket(
    servers: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    access = in_bucket(servers[0], "pulumi-state")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_key)
    query = f"endpoint={access.endpoint.removeprefix('http://')}&disableSSL=true&s3ForcePathStyle=true&region=us-east-1"
    store = open_state_store(f"s3://pulumi-state/team?{query}", tmp_path)
    with lock.locked(store, "demo"):
        with pytest.raises(LockedError), lock.locked(store, "demo"):
            pass
        first = open_journal(store, "demo", "m1", "first")
        first.add("seed/weights", "intent", 1.0)
        open_journal(store, "demo", "m1", "second").add("seed/weights", "done", 2.0)
        with pytest.raises(LockedError):
            first.add("sync/weights", "intent", 3.0)
    keys = sorted(listing.list_objects(access))
    assert keys == [
        f"team/migrations/demo/m1/000{n}-seed.weights-{kind}.json" for n, kind in enumerate(("intent", "done"))
    ]
    assert store.create("once", "a")
    assert not store.create("once", "b")
    assert store.read("once") == "a"


def test_a_bucket_that_is_missing_is_no_empty_bucket(pair: Pair) -> None:
    """Nor is it an object that vanished while it was copied: nothing can be called seeded."""
    source, target = pair
    nowhere = replace(target, bucket="nowhere")
    for live in (True, False):
        with pytest.raises(listing.NoBucketError, match="s3://nowhere"):
            moved(source, nowhere, delete=False, live=live)
        with pytest.raises(listing.NoBucketError, match="s3://nowhere"):
            moved(nowhere, target, delete=False, live=live)


def test_an_empty_bucket_is_seeded_with_nothing(servers: Pair) -> None:
    source, target = (in_bucket(access, "empty") for access in servers)
    assert moved(source, target, delete=False, live=True) == sync.CopyResult(0, 0, 0)
    below = replace(source, prefix="nothing/here")
    assert moved(below, target, delete=False, live=True) == sync.CopyResult(0, 0, 0)


@pytest.mark.exhaustive
def test_objects_that_do_not_arrive_are_no_seed(pair: Pair) -> None:
    source, target = pair
    s3 = s3_client(target)

    def lose(*_: object) -> None:
        for key in listing.list_objects(target):
            s3.delete_object(Bucket=target.bucket, Key=key)

    with pytest.raises(MigrationError, match="did not arrive at s3://") as error:
        moved(source, target, delete=False, live=True, on_copied=lose)
    assert "'large/0.bin'" in error.value.why
