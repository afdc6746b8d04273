"""Keys that file systems and URLs would read otherwise than S3 does: copied as they are, or refused before the copy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from moto.server import ThreadedMotoServer

from meshctl.errors import MigrationError
from meshctl.migrate.planning import store_facts
from meshctl.objects import listing
from meshctl.objects.listing import s3_client
from meshctl.objects.store import ObjectAccess
from tests.integration.test_migrate_data import Pair, compared, in_bucket, moved


@pytest.fixture
def lenient(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two buckets of a store that takes every key that S3 takes; the lab's take no "." and no empty segments."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        whole = ObjectAccess("", "", f"http://{host}:{port}", "us-east-1", "id", "secret", "", "path")
        name = request.node.name.replace("_", "-")[:50]
        yield in_bucket(whole, f"{name}-source"), in_bucket(whole, f"{name}-target")
    finally:
        server.stop()


AWKWARD = (
    *("caf\u00e9", "cafe\u0301", "a//b", "a/../b", "../x", "./x", "a/./b", "a/..", "folder/with content/"),
    *("c\rd", "c\td", "c\x01d", "\u201bx", "a\u2044b", "a\uff0fb", "\uff0e/x", "␍", " lead", "trail "),
    *("%2F", "%41", "a+b c", "#x", ";y", "{a,b}[1]*?", '<>|:"\\'),
)


def test_awkward_keys_are_copied_as_they_are(lenient: Pair) -> None:
    source, target = (replace(access, prefix="some/where") for access in lenient)
    s3 = s3_client(source)
    for key in AWKWARD:
        s3.put_object(Bucket=source.bucket, Key=f"some/where/{key}", Body=f"content of {key}".encode())
    assert moved(source, target, delete=False, live=True).objects == len(AWKWARD)
    assert compared(source, target).equal
    again = moved(source, target)
    assert (again.objects, again.deleted) == (0, 0)
    for key in AWKWARD:
        s3.put_object(Bucket=target.bucket, Key=f"some/where/{key}", Body=f"CONTENT OF {key}".encode())
    moved(source, target, recopy=AWKWARD)
    assert compared(source, target).equal
    for key in AWKWARD[1:]:
        s3.delete_object(Bucket=source.bucket, Key=f"some/where/{key}")
    assert moved(source, target).deleted == len(AWKWARD) - 1
    assert list(listing.list_objects(target)) == [AWKWARD[0]]


def test_keys_that_can_t_be_copied_are_refused_before_anything_is(lenient: Pair) -> None:
    source, target = lenient
    for key in ("/x", "//y", "z"):
        s3_client(source).put_object(Bucket=source.bucket, Key=key, Body=b"1")
    with pytest.raises(MigrationError, match="2 keys that can't be copied") as error:
        moved(source, target, delete=False, live=True)
    assert "'/x'" in error.value.why
    assert not listing.list_objects(target)
    with pytest.raises(MigrationError, match="2 keys that can't be copied"):
        store_facts.facts("data", source, target)


def test_what_others_had_in_the_bucket_is_not_copied_whatever_it_is_called(lenient: Pair) -> None:
    """As in a copy back from an adopted bucket: keys that rclone's filters could take for patterns, and their like."""
    source, target = lenient
    of_others = ("a*b", "c[d]e", "f{g,h}", "q?", "back\\slash", "sp end ", "#note", "d//e", "/first", "é")
    of_mesh = ("axb", "cde", "fg", "qq", "backslash", "sp end", "note", "d/e", "plain")
    for key in of_others:
        s3_client(source).put_object(Bucket=source.bucket, Key=key, Body=b"of others")
    compared_at_s = listing.newest(listing.list_objects(source))
    time.sleep(1.1)  # times tell whole seconds apart
    for key in of_mesh:
        s3_client(source).put_object(Bucket=source.bucket, Key=key, Body=b"of the mesh")
    moved(source, target, delete=False, others_until_s=compared_at_s)
    assert sorted(listing.list_objects(target)) == sorted(of_mesh)
