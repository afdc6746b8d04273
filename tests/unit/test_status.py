"""What `meshctl status` prints."""

from meshctl.operate.status import EndpointStatus, EnvironmentStatus, PoolStatus, WorkloadStatus, status_text


def test_a_degraded_environment_says_what_is_missing_and_why() -> None:
    status = EnvironmentStatus(
        "cw",
        "degraded",
        (PoolStatus("train", "gd-8xh100ib-i128", 3, 4),),
        (WorkloadStatus("chat", "inference", 1, 2, 3, "chat-0: ImagePullBackOff"),),
        (EndpointStatus("chat", "chat.example.com", "10.0.0.1", "aws-east"),),
    )
    assert status_text(status) == (
        "cw: degraded\n"
        "  pool      train  3/4 nodes ready  gd-8xh100ib-i128\n"
        "  workload  chat   1/2 ready, 3 restarts  (chat-0: ImagePullBackOff)\n"
        "  endpoint  chat   chat.example.com -> aws-east  10.0.0.1\n"
    )


def test_an_api_that_does_not_answer_is_unknown_not_absent() -> None:
    status = EnvironmentStatus("cw", "unknown", error="cw: the Kubernetes API server does not answer: timed out")
    assert status_text(status).splitlines()[0] == "cw: unknown"
