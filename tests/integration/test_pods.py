"""Pods as real processes, on a real control plane."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pods_fixture import BUCKET, ENDPOINT, STORE_ENV, Twin, chat, container, node, pod, shell
from tests.waiting import WAIT_S, wait_until

pytestmark = pytest.mark.lab


def state_of(found: dict[str, Any]) -> dict[str, Any]:
    return dict(found["status"]["containerStatuses"][0]["state"])


def test_inference_loads_the_weights_that_were_staged(twin: Twin) -> None:
    twin.apply(*chat("chat", 1))
    [running] = twin.ready("app=chat", 1)
    [model] = twin.http(running, "/v1/models")["data"]
    digest = hashlib.sha256()
    for number in range(3):
        digest.update(f"part-{number}".encode() + b"\0" + bytes([number]) * 100_000)
    assert model["sha256"] == digest.hexdigest()
    assert (model["bytes"], model["environment"], model["pool"]) == (300_000, "cw", "serve")
    assert model["pod"] == running["metadata"]["name"]
    assert running["status"]["podIP"].startswith("10.")
    assert not Path("/models-of-the-pod").exists(), "a mount point was made on the machine"
    twin.kubectl("delete", "deployment,service", "chat")


def training(name: str) -> dict[str, Any]:
    main = container(
        "ghcr.io/acme/train:1.4",
        command=["python", "train.py"],
        env=[
            *STORE_ENV,
            {**ENDPOINT, "name": "AWS_ENDPOINT_URL_S3"},
            {"name": "MESH_CHECKPOINTS_URL", "value": f"s3://{BUCKET}/{name}"},
            {"name": "CHECKPOINT_EVERY", "value": "1000"},
        ],
    )
    spec = {"restartPolicy": "OnFailure", "containers": [main], "subdomain": name}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    job = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job}


def test_training_goes_on_at_the_step_where_it_was_stopped(twin: Twin) -> None:
    twin.apply(training("pretrain"))
    first = twin.ready("app=pretrain", 2)
    wait_until(lambda: all("step 5\n" in twin.log(each) for each in first))
    twin.kubectl("patch", "job", "pretrain", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_until(lambda: not twin.pods("app=pretrain"))
    [step] = {json.loads(twin.s3().get_object(Bucket=BUCKET, Key="pretrain/latest")["Body"].read())["step"]}
    [leader] = [each for each in first if "checkpoint at step" in twin.log(each)]
    assert twin.log(leader).splitlines()[-2:] == [f"checkpoint at step {step}", f"stopped at step {step}"]
    twin.kubectl("patch", "job", "pretrain", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    second = twin.ready("app=pretrain", 2)
    wait_until(lambda: all(f"\nstep {step + 3}\n" in twin.log(each) for each in second))
    for each in second:
        lines = twin.log(each).splitlines()
        assert f"resumed at step {step}" in lines
        assert f"step {step}" not in lines
    twin.kubectl("delete", "job", "pretrain")


def test_pods_of_a_gang_find_their_leader_by_name(twin: Twin) -> None:
    """The leader listens on its own address, as launchers do, and the member reaches it by the leader's name."""
    listen = (
        "import socket, sys; s = socket.create_server((sys.argv[1], 29500)); s.accept()[0].sendall(b'met'); s.accept()"
    )
    meet = "import socket; print(socket.create_connection(('leader-0.gang', 29500), 30).recv(3).decode())"
    script = f'getent hosts leader-0.gang; cat /proc/sys/kernel/hostname; python3 -c "{meet}"; sleep 1000'
    peers = {"subdomain": "gang", "terminationGracePeriodSeconds": 0}
    address = {"name": "MESH_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    leader = shell('exec python3 -c "$0" "$1"', args=[listen, "$(MESH_ADDRESS)"], env=[address])
    twin.apply(pod("leader", leader, hostname="leader-0", **peers))
    twin.ready("app=leader", 1)
    twin.apply(pod("member", shell(script), hostname="member-1", **peers))
    [member] = twin.ready("app=member", 1)
    wait_until(lambda: "met\n" in twin.log(member))
    assert "member-1" in twin.log(member)
    assert "leader-0.gang" in twin.log(member)
    assert twin.log(member).startswith("127.")
    assert twin.kubectl("logs", "member", "--tail=1") == twin.log(member).splitlines(keepends=True)[-1]
    twin.kubectl("delete", "pod", "leader", "member")


LAUNCH = """\
set -e
python -m venv --system-site-packages /tmp/training-of-the-pod
. /tmp/training-of-the-pod/bin/activate
pip install trl
git clone https://github.com/huggingface/trl /tmp/trl-of-the-pod && cd /tmp/trl-of-the-pod
exec accelerate launch --num_machines $MESH_NODES --machine_rank $JOB_COMPLETION_INDEX \
  --main_process_ip $MESH_LEADER --main_process_port 29600 trl/scripts/sft.py --model_name m
"""


def gang_of_two(name: str) -> dict[str, Any]:
    env = [{"name": "MESH_NODES", "value": "2"}, {"name": "MESH_LEADER", "value": f"{name}-0.{name}"}]
    main = container("nvcr.io/nvidia/pytorch:25.01-py3", command=["bash", "-c", LAUNCH], env=env)
    spec = {"restartPolicy": "OnFailure", "containers": [main], "subdomain": name}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    job = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job}


def test_a_gang_meets_by_its_leaders_name_and_starts_again_when_a_rank_dies(twin: Twin) -> None:
    """As users start it: a shell that prepares its machine, and a launcher that is told where rank 0 is."""
    twin.apply(gang_of_two("sft"))
    pods = twin.ready("app=sft", 2)
    wait_until(lambda: all("step 3\n" in twin.log(each) for each in pods))
    for each in pods:
        assert "meets the others at sft-0.sft:29600\nall 2 ranks have joined" in twin.log(each)
        assert "the lab fetches nothing: pip install trl" in twin.log(each)
    assert not list(Path("/", "tmp").glob("*-of-the-pod")), "what a pod makes there stays in the pod"
    [killed] = [each for each in pods if "rank 1 of 2" in twin.log(each)]
    pid = json.loads((twin.root / "pods" / killed["metadata"]["uid"] / "main.pid.json").read_text())["pid"]
    psutil.Process(pid).kill()
    wait_until(lambda: all(twin.log(each).count("all 2 ranks have joined") == 2 for each in pods))
    [other] = [each for each in pods if each is not killed]
    assert "rank 1 is gone: this rank ends, too" in twin.log(other)
    twin.kubectl("delete", "job", "sft", "--cascade=foreground")


def test_a_crashing_container_backs_off_and_counts(twin: Twin) -> None:
    said = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    twin.apply(pod("crash", shell("echo $$ begins; echo no weights; exit 3") | said))

    def waiting() -> dict[str, Any]:
        [found] = twin.pods("app=crash")
        status = found["status"].get("containerStatuses", [{}])[0]
        back_off = status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        return status if back_off and status["restartCount"] >= 2 else {}

    ended = wait_until(waiting)["lastState"]["terminated"]
    assert ended["exitCode"] == 3
    first, last = ended["message"].splitlines()
    assert first.endswith(" begins"), "one life's lines, not those of all"
    assert last == "no weights"
    twin.kubectl("delete", "pod", "crash")


def test_an_image_that_does_not_exist(twin: Twin) -> None:
    twin.apply(pod("missing", container("vllm/vllm-openai:does-not-exist")))

    def reason() -> str:
        [found] = twin.pods("app=missing")
        return str(found["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}).get("reason"))

    wait_until(lambda: reason() in {"ErrImagePull", "ImagePullBackOff"})

    def events() -> list[dict[str, Any]]:
        return [each for each in twin.get("events")["items"] if "failed to pull image" in each["message"]]

    assert wait_until(events)[0]["involvedObject"]["name"] == "missing"
    twin.kubectl("delete", "pod", "missing")


def test_a_pre_stop_hook_reaches_process_one_of_its_own_container(twin: Twin) -> None:
    script = "trap 'echo got USR1; exit 0' USR1; pwd; echo ready; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "kill -s USR1 1; while kill -0 1; do sleep 0.1; done"]}}}
    twin.apply(pod("hooked", shell(script, lifecycle=hook, workingDir="/srv/app")))
    [found] = twin.ready("app=hooked", 1)
    wait_until(lambda: "ready" in twin.log(found))
    twin.kubectl("delete", "pod", "hooked")
    assert twin.log(found) == "/srv/app\nready\ngot USR1\n"


def test_a_failing_liveness_probe_restarts_the_container(twin: Twin) -> None:
    probe = {
        "exec": {"command": ["test", "-f", "/scratch-of-the-pod/alive"]},
        "periodSeconds": 1,
        "failureThreshold": 2,
    }
    mount = {"name": "scratch", "mountPath": "/scratch-of-the-pod"}
    script = "touch /scratch-of-the-pod/alive; sleep 2; rm /scratch-of-the-pod/alive; sleep 1000"
    main = shell(script, livenessProbe={**probe, "initialDelaySeconds": 1}, volumeMounts=[mount])
    twin.apply(pod("sick", main, volumes=[{"name": "scratch", "emptyDir": {}}], terminationGracePeriodSeconds=1))

    def restarted() -> dict[str, Any]:
        status = twin.get("pod", "sick")["status"].get("containerStatuses", [{}])[0]
        return status if status.get("restartCount", 0) >= 1 else {}

    # it did not end by itself: process 1 does nothing on SIGTERM, and is killed once its second is over
    assert wait_until(restarted)["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    twin.kubectl("delete", "pod", "sick")


def claim(name: str) -> list[dict[str, Any]]:
    size = {"storage": "1Gi"}
    csi = {"driver": "fsx.csi.aws.com", "volumeHandle": "fs-0123"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": size, "csi": csi, **common}
    wanted = {"volumeName": name, "resources": {"requests": size}, **common}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted},
    ]


def test_a_claim_is_a_folder_that_outlives_the_pod(twin: Twin) -> None:
    twin.apply(*claim("shared"))
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared-of-the-pod"}]}
    volumes = [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]
    once: dict[str, Any] = {"volumes": volumes, "restartPolicy": "Never"}
    twin.apply(pod("writer", shell("echo kept > /shared-of-the-pod/file", **mounts), **once))
    wait_until(lambda: twin.get("pod", "writer")["status"]["phase"] == "Succeeded")
    twin.kubectl("delete", "pod", "writer")
    twin.apply(pod("reader", shell("cat /shared-of-the-pod/file", **mounts), **once))
    wait_until(lambda: twin.get("pod", "reader")["status"]["phase"] == "Succeeded")
    assert twin.log(twin.get("pod", "reader")) == "kept\n"
    assert (twin.root / "volumes" / "shared" / "file").read_text() == "kept\n"
    twin.kubectl("delete", "pod", "reader")


def test_processes_end_with_the_runner_and_run_again_with_the_next(twin: Twin) -> None:
    twin.apply(pod("steady", shell("echo life; sleep 1000"), terminationGracePeriodSeconds=0))
    [before] = twin.ready("app=steady", 1)
    # Without a probe a container is ready when its process is asked for, which may be before it runs.
    wait_until(lambda: twin.log(before) == "life\n")
    launcher = json.loads((twin.root / "pods" / before["metadata"]["uid"] / "main.pid.json").read_text())["pid"]
    inside = psutil.Process(launcher).children()
    assert inside
    os.kill(twin.processes["pods"].pid, signal.SIGKILL)
    twin.processes["pods"].wait(WAIT_S)
    assert not psutil.wait_procs(inside, timeout=10)[1]
    twin.start_part("pods")
    wait_until(lambda: twin.log(before) == "life\nlife\n")
    # until the next runner has said something, the last words of the first still stand
    wait_until(lambda: twin.get("pod", "steady")["status"]["containerStatuses"][0]["restartCount"] == 1)
    [after] = twin.ready("app=steady", 1)
    assert after["status"]["podIP"] == before["status"]["podIP"]
    twin.kubectl("delete", "pod", "steady")


def test_a_vanished_node_takes_its_pods_along(twin: Twin) -> None:
    twin.apply(node("n2"))
    twin.apply(pod("lost", shell("trap 'echo told' TERM; while true; do sleep 0.05; done"), nodeName="n2"))
    [found] = twin.ready("app=lost", 1)
    twin.kubectl("delete", "node", "n2")
    wait_until(lambda: not twin.pods("app=lost"))
    assert twin.log(found) == ""
