"""The life of one pod as real processes, from binding to deletion. EDGE. Made by `runner` for each of its pods."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError

from meshctl import tools
from meshctl.lab import images
from meshctl.lab.controllers import authority
from meshctl.lab.images import foreign_registries, gateway, python_script
from meshctl.lab.pods import addresses, api, environment, hardware, identity, status, volumes
from meshctl.lab.pods.container import Container, Program
from meshctl.lab.state import write_atomically
from meshwire.kubernetes import requests
from meshwire.kubernetes.async_client import AsyncClient

log = logging.getLogger(__name__)
Object = dict[str, Any]
RETRY_S = 0.5
OWN_FOLDERS = (Path(sys.prefix), Path(__file__).parents[3])
SCRATCH = ("/tmp",)  # noqa: S108 (where scripts of such images put what they fetch and make)
PATH = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Place:
    """Where a pod runs. `address`: its address in the API; `loopback`: the address at which its processes listen."""

    root: Path
    cluster: api.Cluster
    client: AsyncClient
    folder: Path
    address: str
    loopback: str


def _home_and_path(image: images.Image) -> dict[str, str]:
    """The variables HOME and PATH. An image with programs of our tools has no home, so that the pod sees nothing of
    this machine's user."""
    if image.tools:
        folders = [images.FOLDER, *(str(tools.find(name).parent) for name in image.tools), PATH]
        return {"HOME": "/nonexistent", "PATH": os.pathsep.join(folders)}
    if image.is_tool:
        return {"HOME": "/nonexistent", "PATH": os.pathsep.join([str(tools.find(image.program).parent), PATH])}
    return {"HOME": "/root", "PATH": f"{images.FOLDER}{os.pathsep}{PATH}" if image.commands else PATH}


def why_not_pulled(image: str, region: str) -> str:
    """Why a node in the region can't pull the image; "" where it can."""
    if foreign_registries.is_foreign(image, region):
        return "pull access denied, authorization failed: no basic auth credentials"
    return "" if images.pullable(image) else "not found"


class PodRun:
    """One pod. `run` plays it; `update` takes a newer version of the object; `terminate` ends it."""

    def __init__(self, pod: Object, place: Place) -> None:
        self.pod = pod
        self.place = place
        self.inits = [self._state(each, "initContainerStatuses") for each in pod["spec"].get("initContainers", [])]
        self.mains = [self._state(each, "containerStatuses") for each in pod["spec"]["containers"]]
        self.containers: list[Container] = []
        self.dirty = asyncio.Event()
        self.ending: asyncio.Task[None] | None = None
        self.told: dict[str, float] = {}
        self.playing = asyncio.ensure_future(self._play())
        self.publishing = asyncio.ensure_future(self._publish())

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.pod['metadata']['namespace']}/pods/{self.pod['metadata']['name']}"

    @property
    def node(self) -> str:
        return str(self.pod["spec"]["nodeName"])

    def _state(self, spec: Object, section: str) -> status.ContainerState:
        """The first state; a pod that ran before the runner was restarted goes on counting its restarts."""
        state = status.ContainerState(spec["name"], spec["image"])
        for each in self.pod.get("status", {}).get(section, []):
            if each["name"] == spec["name"] and each.get("containerID"):
                state.restarts = each["restartCount"] + 1
        return state

    def update(self, pod: Object) -> None:
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp") and self.ending is None:
            self.ending = asyncio.ensure_future(self.terminate(pod["metadata"].get("deletionGracePeriodSeconds", 30)))

    async def _play(self) -> None:
        self.dirty.set()
        try:
            await self._pull()
            self.containers = await self._prepare()
            split = len(self.inits)
            policy = self.pod["spec"].get("restartPolicy", "Always")
            for container in self.containers[:split]:
                await self._initialize(container, policy)
            if not any(each.exit_code for each in self.inits):
                await asyncio.gather(*(each.keep(policy) for each in self.containers[split:]))
        except api.TRANSPORT_ERRORS as error:
            log.warning("pod %s: %r", self.path, error)

    async def _initialize(self, container: Container, policy: str) -> None:
        if container.spec.get("restartPolicy") == "Always":  # a sidecar: runs beside the others
            sidecar = asyncio.ensure_future(container.keep("Always"))
            sidecar.add_done_callback(lambda _: None)
            container.state.finished = True
            return
        await container.keep("Never" if policy == "Never" else "OnFailure")

    async def _pull(self) -> None:
        """Wait for ever on an image that can't be pulled, as a cluster would."""
        region = self.place.cluster.region
        pulls = [(state, why_not_pulled(state.image, region)) for state in [*self.inits, *self.mains]]
        failing = [(state, why) for state, why in pulls if why]
        delay_s = 1.0
        while failing:
            for reason in ("ErrImagePull", "ImagePullBackOff"):
                for state, why in failing:
                    state.waiting_reason, state.message = reason, f'failed to pull image "{state.image}": {why}'
                    self.report("Warning", "Failed", state.message)
                self.dirty.set()
                await asyncio.sleep(delay_s)
            delay_s = min(30, delay_s * 2)

    async def _prepare(self) -> list[Container]:
        """Make the volumes and the environment. Retried until everything that the pod names exists."""
        while True:
            try:
                return await self._containers()
            except volumes.VolumeNotReadyError as error:
                self._wait("ContainerCreating", "FailedMount", str(error))
            except environment.MissingReferenceError as error:
                self._wait("CreateContainerConfigError", "Failed", str(error))
            except (BotoCoreError, *api.TRANSPORT_ERRORS) as error:
                self._wait("ContainerCreating", "FailedMount", repr(error))
            await asyncio.sleep(RETRY_S)

    def _wait(self, reason: str, event: str, message: str) -> None:
        for state in [*self.inits, *self.mains]:
            state.waiting_reason, state.message = reason, message
        self.report("Warning", event, message)
        self.dirty.set()

    async def _containers(self) -> list[Container]:
        pod, place = self.pod, self.place
        pod.setdefault("status", {}).update(podIP=place.address, hostIP=place.address)
        data = await self._data()
        account = pod["spec"].get("serviceAccountName", "default")
        aws = await identity.variables(place.root, place.cluster, pod["metadata"]["namespace"], account)
        aws |= hardware.variables(await api.get(place.client, f"/api/v1/nodes/{pod['spec']['nodeName']}"))
        where = volumes.Place(place.root, place.folder, place.client)
        folders = await volumes.prepare(pod, where, data)
        specs = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        made = []
        for spec, state in zip(specs, [*self.inits, *self.mains], strict=True):
            program = self._program(spec, data, folders, aws)
            container = Container(spec, program, place.folder, place.loopback, state, self.dirty.set, self.report)
            container.grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
            made.append(container)
        return made

    async def _data(self) -> dict[tuple[str, str], Any]:
        base = f"/api/v1/namespaces/{self.pod['metadata']['namespace']}"
        data = {}
        for kind, name in environment.references(self.pod):
            value = await api.get(self.place.client, f"{base}/{kind.lower()}s/{name}")
            data[kind, name] = environment.values_of(kind, value)
        return data

    def _program(self, spec: Object, data: environment.Data, folders: dict[str, Path], aws: dict[str, str]) -> Program:
        image = images.runnable(spec["image"])
        if image is None:
            raise environment.MissingReferenceError(f"the lab can't run image {spec['image']}")
        own = {
            **_home_and_path(image),
            "HOSTNAME": self.pod["spec"].get("hostname") or self.pod["metadata"]["name"],
            **environment.of_api_server(self.place.client.target.server),
        }
        given = environment.variables(spec, environment.as_seen_inside(self.pod, self.place.loopback), data)
        of_lab = {
            "POD_ADDRESS": self.place.loopback,
            "LAB_IMAGE": spec["image"],
            gateway.AUTHORITY: str(authority.file_of(self.place.root)),
            python_script.ADDRESSES: str(addresses.file(self.place.root)),
        }
        values = own | aws | given | of_lab
        command = [environment.expand(each, given) for each in spec.get("command", [])]
        args = [environment.expand(each, given) for each in spec.get("args", [])]
        mounts = volumes.mounts(spec, folders, values)
        mounts.append((str(self.place.folder / "hosts"), "/etc/hosts", True))
        mounts += self._commands(spec["name"], image)
        mounts += volumes.uncovered(mounts, OWN_FOLDERS) if image.commands else []
        argv = images.argv(image, command, args, sys.executable)
        folder = spec.get("workingDir") or image.folder or "/"
        empty = (image.folder,) if image.folder else ()
        return Program(argv, values, folder, mounts, empty, SCRATCH if image.commands else ())

    def _commands(self, container: str, image: images.Image) -> list[tuple[str, str, bool]]:
        """The mount of the image's own programs, as (folder, path inside, read only); none if the image has no such
        programs."""
        scripts = images.scripts(image, sys.executable)
        folder = self.place.folder / "commands" / container
        for name, text in scripts.items():
            write_atomically(folder / name, text, 0o755)
        return [(str(folder), images.FOLDER, True)] if scripts else []

    def report(self, kind: str, reason: str, message: str) -> None:
        """Post an Event; the same one at most every 30 s."""
        now = time.monotonic()
        if now - self.told.get(message, -100) > 30:
            self.told[message] = now
            asyncio.ensure_future(self._post(kind, reason, message))  # noqa: RUF006 (an Event may be lost)

    async def _post(self, kind: str, reason: str, message: str) -> None:
        metadata = self.pod["metadata"]
        involved = {"apiVersion": "v1", "kind": "Pod"} | {key: metadata[key] for key in ("name", "namespace", "uid")}
        event = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": involved,
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.pod["spec"]["nodeName"]},
            "firstTimestamp": status.timestamp(),
            "lastTimestamp": status.timestamp(),
            "count": 1,
        }
        with contextlib.suppress(*api.TRANSPORT_ERRORS):
            await api.post(self.place.client, f"/api/v1/namespaces/{metadata['namespace']}/events", event)

    async def _publish(self) -> None:
        while True:
            await self.dirty.wait()
            self.dirty.clear()
            if not await self.flush():
                self.dirty.set()
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(0.02)  # changes within this time are one patch

    async def flush(self) -> bool:
        """Patch the status. Returns whether the API accepted it."""
        body = status.pod_status(self.pod, self.inits, self.mains, address=self.place.address)
        body = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": body}
        try:
            result = await api.patch(self.place.client, f"{self.path}/status", body, requests.STRATEGIC_PATCH)
        except api.TRANSPORT_ERRORS as error:
            log.warning("status of %s: %r", self.path, error)
            return False
        if result is not None:
            self.pod["status"] = result["status"]
        return True

    async def terminate(self, grace_s: float) -> None:
        """Stop all containers within `grace_s`, publish the last status, remove the object."""
        await asyncio.gather(*(each.stop(grace_s) for each in self.containers))
        await self._cancel(self.playing, self.publishing)
        volumes.discard(self.place.folder)
        for state in [*self.inits, *self.mains]:
            state.ready = False
            state.finished = True
            if not state.terminated:  # never started
                state.terminated = {"exitCode": 137, "reason": "ContainerStatusUnknown"}
        await self.flush()
        for delay_s in (0.2, 0.5, 1, 2, 5, 10):
            try:
                await api.delete_now(self.place.client, self.path, self.pod["metadata"]["uid"])
                return
            except api.TRANSPORT_ERRORS:
                await asyncio.sleep(delay_s)

    def lose_node(self) -> None:
        """Its node has vanished: the processes are killed, also where the pod is using its grace."""
        if self.ending is not None:
            self.ending.cancel()
        self.ending = asyncio.ensure_future(self.terminate(0))

    async def count_as_unready(self) -> None:
        """What the node controller makes of a pod whose node does not answer: no Service leads to it any more."""
        condition = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
        body = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": {"conditions": [condition]}}
        with contextlib.suppress(*api.TRANSPORT_ERRORS):
            await api.patch(self.place.client, f"{self.path}/status", body, requests.STRATEGIC_PATCH)

    async def leave(self) -> None:
        """Kill the processes and tell the API nothing: the object is gone, or the next runner goes on with the pod."""
        await self._cancel(self.publishing, *([self.ending] if self.ending else []))
        await asyncio.gather(*(each.stop(0) for each in self.containers))
        await self._cancel(self.playing)
        volumes.discard(self.place.folder)

    async def _cancel(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
