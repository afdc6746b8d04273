"""The provider `meshaws`: finds the row of a token and lets the executor run it. Served by `__main__`. EDGE."""

# ruff: noqa: A002, ARG002 (`id` is the protocol's word)

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from providers.aws import rows
from providers.aws.client import AwsClients, Settings, service_model
from providers.aws.rows_engine import diffs, one_way
from providers.aws.rows_engine.bounded import with_live_numbers
from providers.aws.rows_engine.checks import check_inputs
from providers.aws.rows_engine.crud import Crud
from providers.aws.rows_engine.row import Row
from providers.plugin.provider import CheckFailure, Created, Diff, Found, Provider, ProviderError
from providers.plugin.values import UNKNOWN, Properties, contains_unknown

CONFIG = ("region", "profile", "endpointUrl", "s3Addressing", "defaultTags")
ENGINE_KEYS = ("version", "pluginDownloadURL", "pluginChecksums")


class AwsProvider(Provider):
    """Configuration: region, profile, endpointUrl, s3Addressing (auto|path|virtual), defaultTags ({key: value})."""

    name = "meshaws"
    version = "0.1.0"

    def __init__(self, table: Sequence[Row] = rows.ALL) -> None:
        super().__init__()
        self.rows = {row.token: row for row in table}
        self.clients = AwsClients(Settings())
        self.default_tags: dict[str, str] = {}

    def check_config(self, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        failures = [CheckFailure(key, "no such setting") for key in news if key not in (*CONFIG, *ENGINE_KEYS)]
        addressing = news.get("s3Addressing", "auto")
        if addressing not in ("auto", "path", "virtual", UNKNOWN):
            failures.append(CheckFailure("s3Addressing", "must be auto, path or virtual"))
        return news, failures

    def diff_config(self, *, olds: Properties, news: Properties) -> Diff:
        """Another profile, endpoint or default tag changes no resource by itself; another region would lose them all.

        At an endpoint of its own, the endpoint is the place, and the region only signs requests.

        Raises:
            ProviderError: RegionChanged.
        """
        old, new = olds.get("region"), news.get("region")
        if old and new and UNKNOWN not in (old, new) and old != new and not news.get("endpointUrl"):
            message = f"the resources of {old} can't be managed in {new}, where they would read as deleted"
            raise ProviderError("RegionChanged", message)
        return super().diff_config(olds=olds, news=news)

    def configure(self, config: Properties) -> None:
        tags = config.get("defaultTags") or {}
        self.default_tags = json.loads(tags) if isinstance(tags, str) else tags
        settings = {key: value for key, value in config.items() if value and value is not UNKNOWN}
        self.clients = AwsClients(
            Settings(
                region=settings.get("region", ""),
                profile=settings.get("profile", ""),
                endpoint_url=settings.get("endpointUrl", ""),
                s3_addressing=settings.get("s3Addressing", ""),
            )
        )

    def row(self, token: str) -> Row:
        if token not in self.rows:
            raise ProviderError("UnknownResource", f"there is no resource {token} in meshaws")
        return self.rows[token]

    def _crud(self, token: str, urn: str, timeout_s: float = 0) -> Crud:
        return Crud(
            self.row(token),
            self.clients,
            urn=urn,
            host=self.host,
            cancelled=self.cancelled,
            timeout_s=timeout_s,
        )

    def check(
        self, token: str, *, urn: str, news: Properties, olds: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        row = self.row(token)
        inputs = {key: value for key, value in news.items() if value is not None}
        tags = inputs.get("Tags", {})
        if row.tags is not None and isinstance(tags, dict) and (self.default_tags or tags):
            inputs["Tags"] = {**self.default_tags, **tags}
        inputs = one_way.as_far(row, with_live_numbers(row, inputs, olds), olds)
        return inputs, check_inputs(row, service_model(row.service), inputs)

    def diff(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        news = _with_ignored(news, old_inputs, ignore_changes)
        return diffs.diff(self.row(token), old_inputs=old_inputs, old_outputs=old_outputs, news=news)

    def create(self, token: str, *, urn: str, inputs: Properties, timeout_s: float, preview: bool) -> Created:
        crud = self._crud(token, urn, timeout_s)
        if preview:
            return Created("", crud.preview_create(inputs))
        _refuse_unknown(inputs)
        return crud.create(inputs)

    def read(self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties) -> Found:
        return self._crud(token, urn).read(id, inputs, outputs)

    def update(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout_s: float,
        preview: bool,
        ignore_changes: Sequence[str],
    ) -> Properties:
        crud = self._crud(token, urn, timeout_s)
        news = _with_ignored(news, old_inputs, ignore_changes)
        if preview:
            return crud.preview_update(old_inputs, old_outputs, news)
        _refuse_unknown(news)
        return crud.update(id, old_inputs, old_outputs, news)

    def delete(
        self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties, timeout_s: float
    ) -> None:
        self._crud(token, urn, timeout_s).delete(id, inputs, outputs)


def _with_ignored(news: Properties, old_inputs: Properties, ignore: Sequence[str]) -> Properties:
    """Inputs whose changes are ignored, as they were (the engine does so before the check, which adds default tags)."""
    unignored = {key: value for key, value in news.items() if key not in ignore}
    return unignored | {key: old_inputs[key] for key in ignore if key in old_inputs}


def _refuse_unknown(inputs: Any) -> None:
    if contains_unknown(inputs):
        raise ProviderError("UnknownInput", "an input is still unknown while applying")
