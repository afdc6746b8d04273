"""The provider's configuration, in the words of the official plugin. Called by `provider`.

PURE but for reading environment variables, which the official plugin reads too, and kubeconfigs that are compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from providers.kubernetes import kubeconfig
from providers.plugin.provider import CheckFailure, Diff, Kind
from providers.plugin.values import UNKNOWN

UNSUPPORTED: Final = ("renderYamlToDirectory",)


@dataclass(frozen=True)
class Settings:
    """`kubeconfig`: content, path or paths; empty means `$KUBECONFIG` or ~/.kube/config; None: not known yet."""

    kubeconfig: str | None = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    server_side_apply: bool = True
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False


def settings(config: Mapping[str, Any]) -> Settings:
    """Nested values and flags arrive as JSON text ("true") or as themselves."""
    given = config.get("kubeconfig")
    return Settings(
        kubeconfig=None if given is UNKNOWN else _text(given),
        context=_text(config.get("context")),
        cluster=_text(config.get("cluster")),
        namespace=_text(config.get("namespace")),
        server_side_apply=_flag(config, "enableServerSideApply", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY", default=True),
        mutable_config_maps=_flag(config, "enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
        mutable_secrets=_flag(config, "enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        delete_unreachable=_flag(config, "deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        skip_update_unreachable=_flag(config, "skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return value if isinstance(value, str) else ""


def _flag(config: Mapping[str, Any], key: str, variable: str, *, default: bool = False) -> bool:
    value = config.get(key)
    if value is None or value is UNKNOWN:
        value = os.environ.get(variable, "")
    text = str(value).lower()
    return default if text == "" else text in {"true", "1"}


def check(news: Mapping[str, Any]) -> list[CheckFailure]:
    return [
        CheckFailure(key, "needs the official kubernetes plugin") for key in UNSUPPORTED if news.get(key) is not None
    ]


def diff(*, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Diff:
    """Only another cluster replaces what lives in it; a new token, user or context of the same cluster is an update."""
    keys = [key for key in sorted({*olds, *news}) if key != "version" and olds.get(key) != news.get(key)]
    if not keys:
        return Diff(changes=False)
    if not _other_cluster(olds, news):
        return Diff(changes=True, detailed=dict.fromkeys(keys, Kind.UPDATE))
    causes = [key for key in keys if key in {"kubeconfig", "context", "cluster", "clusterIdentifier"}] or keys
    detailed = {key: Kind.UPDATE_REPLACE if key in causes else Kind.UPDATE for key in keys}
    return Diff(changes=True, replaces=tuple(causes), detailed=detailed)


def _other_cluster(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """By `clusterIdentifier` where both give one; else by server and certificate authority; unknown counts as other."""
    old_name, new_name = olds.get("clusterIdentifier"), news.get("clusterIdentifier")
    if old_name and new_name and new_name is not UNKNOWN:
        return bool(old_name != new_name)
    if any(news.get(key) is UNKNOWN for key in ("kubeconfig", "context", "cluster")):
        return True
    where = ("kubeconfig", "context", "cluster")
    if all(olds.get(key) == news.get(key) for key in where):
        return False
    old, new = _identity(settings(olds)), _identity(settings(news))
    return old is None or new is None or old != new


def _identity(chosen: Settings) -> tuple[str, str] | None:
    return kubeconfig.identity(chosen.kubeconfig or "", context=chosen.context, cluster=chosen.cluster)
