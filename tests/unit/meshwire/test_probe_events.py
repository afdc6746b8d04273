"""What a kubelet says of health checks that fail becomes one sentence with the last answer."""

from __future__ import annotations

import pytest

from meshwire.probe_events import failing_check


def unhealthy(at: str, message: str) -> dict[str, str]:
    return {"reason": "Unhealthy", "type": "Warning", "lastTimestamp": f"2026-01-01T00:{at}Z", "message": message}


def killing(at: str, probe: str) -> dict[str, str]:
    message = f"Container main failed {probe} probe, will be restarted"
    return {"reason": "Killing", "type": "Normal", "lastTimestamp": f"2026-01-01T00:{at}Z", "message": message}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            "Startup probe failed: HTTP probe failed with statuscode: 503",
            "the health check does not pass yet; the last answer was: HTTP probe failed with statuscode: 503",
        ),
        (
            "Startup probe failed: dial tcp 10.0.0.7:22: connection refused",
            "the health check does not pass yet; the last answer was: dial tcp 10.0.0.7:22: connection refused",
        ),
        (
            'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")',
            'the health check does not pass; the last answer was: service unhealthy (responded with "NOT_SERVING")',
        ),
        (
            "Liveness probe errored and resulted in unknown state: rpc error:\n code",
            "the health check does not pass; the last answer was: rpc error: code",
        ),
        ("Startup probe failed: ", "the health check does not pass yet; nothing answered"),
    ],
)
def test_a_failing_check_is_told_with_its_last_answer(message: str, says: str) -> None:
    check = failing_check([unhealthy("01:00", message)])
    assert check is not None
    assert check.text == says


def test_the_newest_answer_counts_and_the_container_that_was_ended_for_it_is_told() -> None:
    newest = unhealthy("09:00", "Startup probe failed: HTTP probe failed with statuscode: 503")
    older = unhealthy("01:00", "Startup probe failed: dial tcp 10.0.0.7:80: connect: connection refused")
    check = failing_check([newest, killing("08:00", "startup"), older])
    assert check is not None
    assert check.text == (
        "the health check did not pass within `health.startup`, so the container is started again; the last answer "
        "was: HTTP probe failed with statuscode: 503"
    )
    after_start = [unhealthy("10:00", "Liveness probe failed: HTTP probe failed with statuscode: 500")]
    check = failing_check([newest, killing("08:00", "startup"), *after_start, killing("11:00", "liveness")])
    assert check is not None
    assert check.text == (
        "the health check failed while the container ran, so it is started again; the last answer was: HTTP probe "
        "failed with statuscode: 500"
    )


def test_other_events_say_nothing_of_health() -> None:
    pulling = {"reason": "Pulling", "message": "Pulling image", "lastTimestamp": "2026-01-01T00:00:00Z"}
    assert failing_check([pulling, {"reason": "Killing", "message": "Stopping container main"}]) is None
