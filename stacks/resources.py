"""Declares resources of packages that have no SDK of their own: `meshaws` (our rows) and single Kubernetes objects.

Called by every stack. Inputs are the API's own shapes; `outputs` names what a caller reads from the resource
afterwards.

Resources are made by a class method and have no `__init__` of their own. With one, the SDK would send the whole call
stack along, and the engine would keep it in the state: two thirds of its size, all of it paths of the operator's
machine (pulumi/runtime/resource.py, `_get_stack_trace`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from meshctl.model.deployment import Deployment


def aws_tags(deployment: Deployment) -> dict[str, str]:
    """On every AWS resource: whose it is, the mesh's own labels, and the tags that the environment requires."""
    return {**deployment.labels, **deployment.cluster.tags, **identity_tags(deployment)}


def identity_tags(deployment: Deployment) -> dict[str, str]:
    """What never changes while an environment is up."""
    return {"meshctl.dev/mesh": deployment.mesh, "meshctl.dev/environment": deployment.environment}


class AwsProvider(pulumi.ProviderResource):
    """The `meshaws` package configured for one region and profile."""

    def __init__(
        self,
        name: str,
        *,
        region: str,
        profile: str = "",
        endpoint_url: str = "",
        s3_addressing: str = "auto",
        tags: Mapping[str, str],
    ) -> None:
        wanted = {
            "region": region,
            "profile": profile,
            "endpointUrl": endpoint_url,
            "s3Addressing": "" if s3_addressing == "auto" else s3_addressing,
            # nested provider configuration travels as JSON text
            "defaultTags": json.dumps(dict(tags), sort_keys=True) if tags else "",
        }
        super().__init__("meshaws", name, {key: value for key, value in wanted.items() if value})


class AwsResource(pulumi.CustomResource):
    """One row of providers/aws, made by `declare`; what it gives is read by `vpc.get("VpcId")`."""

    @classmethod
    def declare(
        cls,
        token: str,
        name: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        provider: AwsProvider,
        depends_on: Sequence[pulumi.Resource] = (),
        ignore_changes: Sequence[str] = (),
        delete_before_replace: bool = False,
        protect: bool = False,
        retain_on_delete: bool = False,
        timeout_s: int = 0,
        aliases: Sequence[str] = (),
    ) -> AwsResource:
        """`outputs` names what will be read from it, `aliases` what it was called before."""
        declared: dict[str, Any] = {key: value for key, value in inputs.items() if value is not None}
        return cls(
            f"meshaws:{token}",
            name,
            {**dict.fromkeys(outputs), **declared},
            pulumi.ResourceOptions(
                provider=provider,
                depends_on=list(depends_on),
                ignore_changes=list(ignore_changes),
                delete_before_replace=delete_before_replace or None,
                protect=protect or None,
                retain_on_delete=retain_on_delete or None,
                aliases=[pulumi.Alias(name=alias) for alias in aliases],
                custom_timeouts=pulumi.CustomTimeouts(create=f"{timeout_s}s", update=f"{timeout_s}s")
                if timeout_s
                else None,
            ),
        )

    def get(self, output: str) -> pulumi.Output[Any]:
        value: pulumi.Output[Any] = self.__dict__[output]
        return value

    def translate_output_property(self, prop: str) -> str:
        return prop

    def translate_input_property(self, prop: str) -> str:
        return prop


def part(output: pulumi.Output[Any], *path: str) -> pulumi.Output[Any]:
    """A value inside a structured output; None where it is missing, which the provider's check then names."""

    def walk(value: Any) -> Any:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return output.apply(walk)
