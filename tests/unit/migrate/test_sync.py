"""How rclone's log and the listings before and after a copy are evaluated. A script plays rclone."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from meshctl import tools
from meshctl.errors import MigrationError, UnreachableError
from meshctl.objects import keys, metadata, sync
from meshctl.objects.listing import Item
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

ACCESS = ObjectAccess("bucket", "", "http://127.0.0.1:9", "r1", "id", "secret")


def rclone(folder: Path, *runs: tuple[int, list[dict[str, object]]]) -> Path:
    """A program that ends with the nth code after the nth log, when it is called for the nth time."""
    program, script = folder / "rclone", folder / "runs.json"
    script.write_text(json.dumps(runs))
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys\n"
        f"script = pathlib.Path({str(script)!r})\n"
        "(code, lines), *left = json.loads(script.read_text())\n"
        "script.write_text(json.dumps(left))\n"
        "[print(json.dumps(line), file=sys.stderr) for line in lines]\n"
        "sys.exit(code)\n"
    )
    program.chmod(0o755)
    return program


def stats(objects: int, total_bytes: int, deleted: int = 0) -> dict[str, object]:
    return {"level": "notice", "stats": {"transfers": objects, "bytes": total_bytes, "deletes": deleted}}


def error(text: str, key: str = "") -> dict[str, object]:
    return {"level": "error", "msg": text, **({"object": key} if key else {})}


def a_run(*, live: bool = False) -> sync._Run:
    return sync._Run(lambda: ACCESS, lambda: ACCESS, [], lambda *_: None, Stop(), live=live)


def test_what_failed_attempts_copied_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = error("Failed to copy: 503", "b")
    program = rclone(tmp_path, (1, [stats(3, 300), refused]), (1, [stats(1, 50, 2), refused]), (0, [stats(0, 0)]))
    monkeypatch.setattr(tools, "find", lambda _: program)
    assert a_run().run_with_retries(["sync"]) == sync.CopyResult(4, 350, 2)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Failed to copy: api error NoSuchBucket: The specified bucket does not exist, StatusCode: 404", "k"),
        ("error reading source root directory: directory not found", "S3 bucket nowhere"),
        ("Failed to copy: AccessDenied", "404 not found differ.bin"),
        ("couldn't connect", ""),
        ('Failed to create file system for "TARGET:bucket": unknown option', ""),
    ],
)
def test_a_live_copy_forgives_nothing_but_objects_that_changed(
    text: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [error(text, key), error(f"Attempt 1/3 failed with 1 errors and: {text}"), stats(0, 0)]
    program = rclone(tmp_path, (1, log), (1, log), (1, log))
    monkeypatch.setattr(tools, "find", lambda _: program)
    with pytest.raises(MigrationError) as raised:
        a_run(live=True).run_with_retries(["copy"])
    assert text in raised.value.why


@pytest.mark.parametrize(
    "text",
    [
        "Failed to copy: failed to open source object: object not found",
        "Failed to copy: operation error S3: HeadObject, StatusCode: 404, api error NotFound: Not Found",
        "Failed to copy: corrupted on transfer: sizes differ",
    ],
)
def test_a_live_copy_bears_an_object_that_vanished(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = [error(text, "step-1"), error(f"Attempt 3/3 failed with 1 errors and: {text}"), stats(5, 50)]
    program = rclone(tmp_path, (1, log))
    monkeypatch.setattr(tools, "find", lambda _: program)
    run = a_run(live=True)
    assert run.run_with_retries(["copy"]).objects == 5
    assert "step-1" in run.vanished_keys


def test_an_object_that_a_later_attempt_copied_did_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Failed to copy: corrupted on transfer: sizes differ"
    healed: dict[str, object] = {"level": "info", "msg": "Copied (new)", "object": "a"}
    program = rclone(tmp_path, (1, [error(text, "a"), error(text, "b"), healed, error(text, "b")]))
    monkeypatch.setattr(tools, "find", lambda _: program)
    run = a_run(live=True)
    run.run_with_retries(["copy"])
    assert run.vanished_keys == {"b"}


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["Failed to copy: dial tcp 10.0.0.1:443: connect: connection refused"], UnreachableError),
        (["Failed to copy: https response error StatusCode: 503, api error SlowDown"], UnreachableError),
        (["request send failed, Put: tls: failed to verify certificate: x509: unknown authority"], MigrationError),
        (["read tcp 10.0.0.1:443: i/o timeout", "Failed to copy: AccessDenied, StatusCode: 403"], MigrationError),
    ],
)
def test_a_store_that_does_not_answer_may_be_asked_again(
    texts: list[str], kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [*(error(text, "k") for text in texts), error("Attempt 3/3 failed with 1 errors and: k"), stats(0, 0)]
    program = rclone(tmp_path, (1, log), (1, log), (1, log))
    monkeypatch.setattr(tools, "find", lambda _: program)
    with pytest.raises(Exception, match="copying s3://") as raised:
        a_run().run_with_retries(["sync"])
    assert type(raised.value) is kind
    assert texts[-1] in raised.value.why  # type: ignore[attr-defined]


def test_missing_keys_are_unchanged_at_the_source_and_not_at_the_target() -> None:
    one, other = Item(1, "a"), Item(2, "b")
    before = {"copied": one, "missing": one, "gone": one, "changed": one, "short": other, "failed": one}
    source = {"copied": one, "missing": one, "changed": other, "short": other, "failed": one, "new": one}
    target = {"copied": one, "short": one, "failed": one}
    assert sync._missing_keys(before, source, target, {"failed", "gone"}) == ["failed", "missing", "short"]


def test_control_characters_need_listings_in_another_form() -> None:
    assert keys.rclone_options(["a", "b+c%41"]) == []
    assert keys.rclone_options(["a", "b\r"]) == ["--s3-list-url-encode=true"]


def test_what_was_written_after_it_was_copied_may_be_described_anew() -> None:
    copied = 100_000.0
    here = {"old": Item(1, "a", copied - 3600), "new": Item(1, "a", copied + 5), "skewed": Item(1, "a", copied - 60)}
    there = dict.fromkeys([*here, "extra"], Item(1, "a", copied))
    assert metadata.keys_to_inspect({**here, "missing": Item(1, "a", copied)}, there, set(), 0) == ["new", "skewed"]
    assert metadata.keys_to_inspect(here, there, {"new", "skewed"}, 0) == [], "just sent"
    assert metadata.keys_to_inspect(here, dict.fromkeys(here, Item(1, "a", 0)), set(), copied) == ["new", "skewed"]
    assert metadata.keys_to_inspect(here, there, set(), math.inf) == []
