"""Deletes resources of a stack outside meshctl, to test that `plan` reports them and `up` creates them again."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from meshctl.changes.steps import resource_name
from providers.aws.provider import AwsProvider
from providers.plugin.provider import ProviderError
from tests.lab_fixture import RunningLab

# types whose deletion also deletes other resources
_WHOLE = ("kubernetes:core/v1:Namespace", "meshaws:eks:Cluster")
# types whose deletion shuts the maker out of the cluster, so that nothing else in it can be looked at
_ACCESS = ("meshaws:eks:AccessEntry", "meshaws:eks:AccessPolicyAssociation")


class Stack:
    """An environment of a mesh that is up, as its state has it."""

    def __init__(self, here: RunningLab, mesh: str, environment: str) -> None:
        self.here, self.environment = here, environment
        self._file = here.folder / f".meshctl/state/.pulumi/stacks/{mesh}/{environment}.json"

    def resources(self) -> list[dict[str, Any]]:
        return [r for r in self._saved() if r.get("custom") and not r["type"].startswith("pulumi:")]

    def urns(self) -> set[str]:
        return {resource["urn"] for resource in self.resources()}

    def leaves(self) -> list[str]:
        """The URNs of resources that no other depends on and that hold no data: their API allows a delete."""
        resources = self.resources()
        needed = {urn for resource in resources for urn in resource.get("dependencies") or ()}
        kubernetes = [r for r in resources if r["type"].startswith("kubernetes:") and r["type"] not in _WHOLE]
        aws = [r for r in resources if r["type"].startswith("meshaws:") and r["urn"] not in needed]
        return [resource["urn"] for resource in (*kubernetes, *aws)]

    def deleted_alone(self) -> set[str]:
        """The URNs of resources whose deletion hides or deletes others: no test of those others can be made with it."""
        return {resource["urn"] for resource in self.resources() if resource["type"] in (*_WHOLE, *_ACCESS)}

    def deleted(self, urns: list[str]) -> set[str]:
        """Delete what these resources stand for, one after the other; those whose API allowed that."""
        aws = self._aws_providers()
        resources = {resource["urn"]: resource for resource in self.resources()}
        return {urn for urn in urns if self._delete(resources[urn], aws)}

    def assert_made_again(self, gone: set[str], before: set[str]) -> None:
        """`plan` names what is gone; after an `up` all is there, and nothing is left to do."""
        names = sorted(resource_name(urn) for urn in gone)
        missing = set() if self._is_shut_out() else gone - self.outside()
        assert not missing, f"deleted {names}; not named: {sorted(resource_name(urn) for urn in missing)}"
        self.here.meshctl("up", self.environment, "--yes", timeout_s=400)
        plan = self.here.json("plan", self.environment)
        assert (plan["outside"], plan["changes"]) == ([], []), f"after the up that was to make {names} again"
        assert self.urns() == before

    def outside(self) -> set[str]:
        """The URNs of what a plan says was changed outside of meshctl."""
        plan = self.here.json("plan", self.environment)
        return {resource["urn"] for change in plan["outside"] for resource in change["resources"]}

    def _is_shut_out(self) -> bool:
        """Whether the access entry is gone of whoever runs this. A plan says then that `up` makes it again."""
        planned = self.here.meshctl("plan", self.environment, check=False)
        says_what_to_do = f"`meshctl up {self.environment}` makes it again" in planned.stderr
        says_what_to_do = says_what_to_do or f"`meshctl up {self.environment}` restores it" in planned.stderr
        assert planned.returncode == 0 or says_what_to_do, planned.stderr
        return planned.returncode != 0

    def _saved(self) -> list[dict[str, Any]]:
        resources: list[dict[str, Any]] = json.loads(self._file.read_text())["checkpoint"]["latest"]["resources"]
        return resources

    def _delete(self, resource: dict[str, Any], aws: dict[str, AwsProvider]) -> bool:
        if resource["type"].startswith("meshaws:"):
            return _delete_aws(resource, aws[resource["provider"].split("::")[-2]])
        manifest = resource["inputs"]
        namespace = manifest["metadata"].get("namespace")
        what = [manifest["kind"], manifest["metadata"]["name"], *(["-n", namespace] if namespace else [])]
        try:
            if manifest["kind"] == "Node":  # given by others: what is ours are its labels
                self.here.kubectl(self.environment, "label", "node", manifest["metadata"]["name"], "meshctl.dev/pool-")
            else:
                self.here.kubectl(self.environment, "delete", *what, "--wait=true", "--timeout=60s")
        except subprocess.CalledProcessError:
            return False
        return True

    def _aws_providers(self) -> dict[str, AwsProvider]:
        """The AWS providers of the stack, by name, as the stack configures them."""
        providers = {}
        for resource in self._saved():
            if resource["type"] == "pulumi:providers:meshaws":
                provider = AwsProvider()
                provider.configure(resource["inputs"])
                providers[resource_name(resource["urn"])] = provider
        return providers


def _delete_aws(resource: dict[str, Any], provider: AwsProvider) -> bool:
    try:
        provider.delete(
            resource["type"],
            urn=resource["urn"],
            id=resource["id"],
            inputs=resource["inputs"],
            outputs=resource["outputs"],
            timeout_s=20,  # what is in use stays in use
        )
    except ProviderError:
        return False
    return True
