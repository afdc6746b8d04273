"""The main job, told in a page: one mesh up on AWS, moved to a CoreWeave-style cluster, nothing lost.

Run by `nox -s demo` (`python -m examples.demo`). It uses the command line as a person would, against a lab of its own,
and looks at the result with other tools than ours: boto3, kubectl's API, HTTP through DNS. It ends with 1 if anything
that it claims is untrue. `--keep` leaves the lab and the mesh's folder for a look around.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "llm-prod"
WEIGHTS_MIB = 200
WEIGHT_FILES = 4
REQUESTS_PER_S = 25


class UntrueError(Exception):
    """A claim of the demo that did not hold."""


@dataclass
class Story:
    """Runs commands in the mesh's folder, and keeps count of what was shown to hold."""

    folder: Path
    environment: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    chapter_began: float = field(default_factory=time.monotonic)
    shown: int = 0

    def chapter(self, title: str) -> None:
        self.chapter_began = time.monotonic()
        print(f"\n[{self.chapter_began - self.began:5.0f} s] {title}", flush=True)

    def meshctl(self, *arguments: str, quiet: bool = False, since: str = "", until: str = "") -> str:
        """Run one command and show its output, unless `quiet`; from the line that begins with `since` to that of
        `until`."""
        print(f"  $ meshctl {' '.join(arguments)}", flush=True)
        command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=3600
        )
        if done.returncode != 0:
            print(done.stdout + done.stderr)
            raise UntrueError(f"`meshctl {' '.join(arguments)}` ended with {done.returncode}")
        showing = not quiet and not since
        for line in done.stdout.rstrip().splitlines():
            showing = (showing or (not quiet and bool(since) and line.startswith(since))) and not (
                until and line.startswith(until)
            )
            if showing:
                print(f"    {line}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.meshctl("--output", "json", *arguments, quiet=True))

    def holds(self, claim: str, *, true: bool) -> None:
        if not true:
            raise UntrueError(claim)
        self.shown += 1
        print(f"    ok: {claim}", flush=True)

    def until(self, claim: str, check: Callable[[], bool], *, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not check():
            if time.monotonic() > deadline:
                raise UntrueError(f"{claim} (waited {timeout_s:.0f} s)")
            time.sleep(0.5)
        self.holds(claim, true=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="meshctl-demo-"))
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".meshctl"), dirs_exist_ok=True)
    story = Story(folder, {**os.environ, "HF_TOKEN": "hf_demo_secret_value", "MESHCTL_LAB_ROOT": str(folder / "lab")})
    try:
        tell(story)
    except UntrueError as untrue:
        print(f"\nUNTRUE: {untrue}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f'\nkept: cd {folder}; eval "$(meshctl lab env)"; `meshctl lab down` when done')
        else:
            story.meshctl("lab", "down", quiet=True)
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{story.shown} claims, all true, in {time.monotonic() - story.began:.0f} s.")
    return 0


def tell(story: Story) -> None:
    story.chapter(
        "A lab: an AWS API, three Kubernetes control planes, GPU nodes, object stores, DNS; all on this machine"
    )
    story.meshctl("lab", "up")
    story.environment |= lab_environment(story)
    story.chapter("Where can the mesh run, and for how much?")
    story.meshctl("check")
    raise_quotas(story)
    weights = bring_up(story)
    step = look_around(story, weights)
    move(story, weights, step)
    leave(story)
    shift(story)
    story.meshctl("destroy", "cw", "--allow-data-loss", "--confirm", "cw")


def lab_environment(story: Story) -> dict[str, str]:
    """What `eval "$(meshctl lab env)"` sets in a shell."""
    exports = story.meshctl("lab", "env", quiet=True)
    pairs = [line.removeprefix("export ").split("=", 1) for line in exports.splitlines() if line.startswith("export ")]
    return {name: value.strip("'\"") for name, value in pairs}


def raise_quotas(story: Story) -> None:
    """A new account of AWS may run no P instance and five vCPUs of all else; the lab's is one."""
    story.chapter("A new AWS account may run no GPU machine: ask for the vCPUs that the mesh needs")
    quotas = aws(story, "service-quotas")
    for code, vcpus in {"L-417A185B": 1152, "L-1216C47A": 64}.items():
        name = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["QuotaName"]
        print(
            f"  $ aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {code} "
            f"--desired-value {vcpus}    # {name}"
        )
        quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode=code, DesiredValue=vcpus)


def bring_up(story: Story) -> str:
    """Buckets first, then the weights, then everything; returns the weights' hash."""
    story.chapter("Up on AWS: the buckets first, so that the weights are there when the model server starts")
    story.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    digest = upload_weights(story)
    print(f"    {WEIGHTS_MIB} MiB of weights in S3, sha256 {digest[:16]}…")
    story.meshctl("up", "aws-east", "--yes")
    plan = story.json("plan", "aws-east")
    story.holds("a second plan has no changes", true=is_as_declared(plan))
    return digest


def is_as_declared(plan: dict[str, Any]) -> bool:
    """Whether an `up` would do nothing: neither for the mesh, nor about what others changed."""
    return not plan["changes"] and not plan["outside"]


def upload_weights(story: Story) -> str:
    """Random weights, as a few files; returns the hash that the model server is to report."""
    bucket = buckets(story, "aws-east")["weights"]
    client = s3(story, "default")
    digest = hashlib.sha256()
    for number in range(WEIGHT_FILES):
        body = os.urandom(WEIGHTS_MIB // WEIGHT_FILES * 1024 * 1024)
        name = f"model-{number:05d}-of-{WEIGHT_FILES:05d}.safetensors"
        client.put_object(Bucket=bucket, Key=f"llama/{name}", Body=body)
        digest.update(name.encode() + b"\0" + body)
    return digest.hexdigest()


def look_around(story: Story, weights: str) -> int:
    """Check AWS with other tools than ours; returns the trainer's last checkpoint."""
    story.chapter("What is there, seen with other tools")
    status = story.json("status", "aws-east")["environments"]["aws-east"]
    ready = {pool["name"]: pool["ready"] for pool in status["pools"]}
    story.holds(f"nodes ready: {ready}", true=ready.get("train") == 4 and ready.get("serve") == 2)
    model = first_model(story)
    story.holds("chat.example.com answers from aws-east", true=model["environment"] == "aws-east")
    story.holds("with the very weights that were uploaded", true=model["sha256"] == weights)
    story.until("the trainer writes checkpoints", lambda: checkpoint(story, "aws-east", "default") >= 20)
    return checkpoint(story, "aws-east", "default")


def move(story: Story, weights: str, step: int) -> None:
    story.chapter(f"Move it to CoreWeave, with {REQUESTS_PER_S} requests a second on it")
    story.meshctl("migrate", "aws-east", "cw", "--dry-run", until="steps")
    load = start_load(story)
    try:
        story.meshctl("migrate", "aws-east", "cw", "--yes", since="source and target")
    finally:
        result = stop_load(load)
        tell_failures(story, result)
    unsent = f", {result['unsent']} never left the client" if result["unsent"] else ""
    story.holds(
        f"{result['requests']} requests, {result['failed']} failed{unsent}",
        true=not result["failed"] and result["requests"] > 100,
    )
    story.holds("both environments answered some", true={"aws-east", "cw"} <= set(result["by_environment"]))
    model = first_model(story)
    story.holds("chat.example.com answers from cw", true=model["environment"] == "cw")
    story.holds("with the same weights, byte for byte", true=model["sha256"] == weights)
    resumed = checkpoint(story, "aws-east", "default")
    story.until("the trainer goes on at cw", lambda: checkpoint(story, "cw", "coreweave") > resumed)
    story.holds(f"no step lost: stopped at {resumed}, chain unbroken", true=resumed >= step and chain_holds(story))
    story.holds("`plan cw` has no changes", true=is_as_declared(story.json("plan", "cw")))


def leave(story: Story) -> None:
    story.chapter("Done with AWS")
    story.meshctl("migrations", "finish", "--yes", quiet=True)
    story.meshctl("destroy", "aws-east", "--allow-data-loss", "--confirm", "aws-east")
    vpcs = aws(story, "ec2").describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["meshctl.dev/mesh"]}])["Vpcs"]
    story.holds("nothing of it is left on AWS", true=not vpcs)
    story.holds("chat.example.com still answers, from cw", true=first_model(story)["environment"] == "cw")


def shift(story: Story) -> None:
    """A node of the trainers serves under load, and goes back."""
    story.chapter(f"One node from training to inference and back, with {REQUESTS_PER_S} requests a second")
    before = nodes(story)
    no_more_nodes(story)
    load = start_load(story)
    try:
        scale_chat(story, 3)  # as an autoscaler does: the new pod finds no node
        story.meshctl("shift", "cw", "--from", "train", "--to", "serve", "--nodes", "1", "--yes")
        saved = checkpoint(story, "cw", "coreweave")
        story.until("a third replica serves on that node", lambda: ready_pods(story)["chat"] == 3)
        stopped = ready_pods(story)["pretrain"] == 0 and checkpoint(story, "cw", "coreweave") == saved
        story.holds(f"the trainer waits at its checkpoint, step {saved}", true=stopped and chain_holds(story))
        story.meshctl("shift", "cw", "--undo")
        scale_chat(story, 2)
        story.until("the trainer goes on with all of its ranks", lambda: ready_pods(story)["pretrain"] == 4)
        story.until("from that step", lambda: checkpoint(story, "cw", "coreweave") > saved)
        story.holds("there and back in under a minute", true=time.monotonic() - story.chapter_began < 60)
    finally:
        result = stop_load(load, settle_s=1)
        tell_failures(story, result)
    story.holds(f"{result['requests']} requests, {result['failed']} failed", true=not result["failed"])
    story.until("labels, taints and cordons of all nodes are as before", lambda: nodes(story) == before)
    story.holds("no step lost, chain unbroken", true=chain_holds(story))


# ---- the other tools


def aws(story: Story, service: str, profile: str = "default") -> Any:
    """A boto3 client that sees only what the lab's environment variables name."""
    import boto3

    os.environ.update({name: story.environment[name] for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")})
    session: Any = boto3.Session(profile_name=profile, region_name="us-east-1")  # typed for literal names only
    return session.client(service)


def s3(story: Story, profile: str) -> Any:
    return aws(story, "s3", profile)


def buckets(story: Story, environment: str) -> dict[str, str]:
    """Bucket names by store, as the resources of a plan's environment have them."""
    profile = "default" if environment == "aws-east" else "coreweave"
    names = [bucket["Name"] for bucket in s3(story, profile).list_buckets()["Buckets"]]
    return {store: name for store in ("weights", "checkpoints") for name in names if f"{environment}-{store}-" in name}


def checkpoint(story: Story, environment: str, profile: str) -> int:
    """The step of the newest checkpoint; 0 when there is none."""
    client = s3(story, profile)
    bucket = buckets(story, environment).get("checkpoints")
    if bucket is None:
        return 0
    try:
        return int(json.loads(client.get_object(Bucket=bucket, Key="latest")["Body"].read())["step"])
    except client.exceptions.NoSuchKey:
        return 0


def chain_holds(story: Story) -> bool:
    """The trainer's weights are a hash chain over its steps: a repeated or skipped one would show."""
    client = s3(story, "coreweave")
    bucket = buckets(story, "cw")["checkpoints"]
    step = checkpoint(story, "cw", "coreweave")
    saved = json.loads(client.get_object(Bucket=bucket, Key=f"step-{step:08d}.json")["Body"].read())
    weights = ""
    for number in range(1, step + 1):
        weights = hashlib.sha256(f"{weights}:{number}".encode()).hexdigest()
    return bool(saved["weights"] == weights)


def kubectl(story: Story, *arguments: str) -> str:
    from meshctl import tools

    command = [str(tools.find("kubectl")), "--context", "cw", *arguments]
    done = subprocess.run(command, env=story.environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def nodes(story: Story) -> dict[str, Any]:
    """What a shift changes of each node at cw: labels, taints, whether it is cordoned."""
    items = json.loads(kubectl(story, "get", "nodes", "-o", "json"))["items"]
    return {
        item["metadata"]["name"]: (
            item["metadata"]["labels"],
            item["spec"].get("taints"),
            item["spec"].get("unschedulable"),
        )
        for item in items
    }


def ready_pods(story: Story) -> dict[str, int]:
    """The ready pods of each workload at cw, by the cluster itself."""
    pods = json.loads(kubectl(story, "-n", "llm-prod", "get", "pods", "-o", "json"))["items"]
    counts = {"chat": 0, "pretrain": 0}
    for pod in pods:
        conditions = pod.get("status", {}).get("conditions", [])
        is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        name = pod["metadata"]["labels"].get("app.kubernetes.io/name", "")
        counts[name] = counts.get(name, 0) + (is_ready and not pod["metadata"].get("deletionTimestamp"))
    return counts


def no_more_nodes(story: Story) -> None:
    """The zone has no machines for a larger pool, so that CoreWeave's autoscaler orders a node in vain."""
    print("  CoreWeave has no more of these machines in the zone: a new node of the pool would wait for one")
    fault = {"operation": "NodePool", "condition": "Capacity", "error": "QueuedAwaitingCapacity"}
    (story.folder / "lab" / "faults.json").write_text(json.dumps([fault]))


def scale_chat(story: Story, replicas: int) -> None:
    print(f"  $ kubectl --context cw -n llm-prod scale deployment chat --replicas {replicas}")
    kubectl(story, "-n", "llm-prod", "scale", "deployment", "chat", "--replicas", str(replicas))


def first_model(story: Story) -> dict[str, Any]:
    """What /v1/models says of the model, asked through the endpoint's name and the lab's DNS."""
    import httpx2

    from meshctl.dns.lookup import address_of

    os.environ["MESHCTL_DNS_SERVER"] = dns(story)
    answer = httpx2.get(f"http://{address_of('chat.example.com')}:8000/v1/models", trust_env=False, timeout=60)
    data: dict[str, Any] = answer.json()["data"][0]
    return data


def dns(story: Story) -> str:
    return story.environment["MESHCTL_DNS_SERVER"]


def start_load(story: Story) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "meshctl.lab.load", "--url", "http://chat.example.com:8000/v1/completions"]
    command += ["--rate", str(REQUESTS_PER_S), "--seconds", "7200", "--dns", dns(story)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=story.environment)


def stop_load(load: subprocess.Popen[str], settle_s: float = 10) -> dict[str, Any]:
    """Let it see a new address for a while, then ask for its account."""
    time.sleep(settle_s)
    load.terminate()
    output, _ = load.communicate(timeout=300)
    result: dict[str, Any] = json.loads(output)
    return result


def tell_failures(story: Story, result: dict[str, Any]) -> None:
    """What failed, how and in which step of the migration; what never left the client is told apart."""
    from meshctl.lab.load_failures import Failure, Moment, account

    failures = [Failure(**each) for each in result["failures"]]
    if not failures:
        return
    try:
        steps = story.json("migrations", "show")["steps"]
    except UntrueError:  # it did not come so far; that it failed is said already
        steps = []
    moments = [Moment(step["done_at"], step["title"]) for step in steps if step["done_at"]]
    for heading, unsent in (("failed", False), ("never left this machine's client, which did not get to run", True)):
        group = [each for each in failures if each.unsent is unsent]
        if group:
            print(f"    {len(group)} of {result['requests']} requests {heading}:")
        for line in account(group, moments):
            print(f"      {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
