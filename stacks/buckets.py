"""Object stores as buckets, on AWS and on any S3-compatible store. Called by the stacks of every provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.platforms import registry
from meshctl.platforms.interface import ObjectStores
from stacks.resources import AwsProvider, AwsResource, aws_tags


def declare_alone(deployment: Deployment, outputs: Mapping[str, Any]) -> None:
    """The program of `up --object-storage-only`: the buckets, with the stack's outputs left as they are.

    To be run with everything else of the stack excluded: it is not declared here, and must stay.
    """
    declare_buckets(deployment)
    for name, value in outputs.items():
        pulumi.export(name, value)


def declare_buckets(deployment: Deployment) -> dict[str, AwsResource]:
    """One bucket for each object store that is not adopted, by store name.

    A bucket outlives the machine that made it: it is never replaced on the way (`delete_before_replace` stays off).
    """
    providers: dict[str, AwsProvider] = {}
    buckets = {}
    for store, provider in _provider_names(deployment):
        if provider not in providers:
            tags = aws_tags(deployment) if _objects(deployment).takes_tags else {}
            providers[provider] = _provider(provider, store, tags)
        buckets[store.name] = _bucket(deployment, store, providers[provider])
    return buckets


def _objects(deployment: Deployment) -> ObjectStores:
    return registry.platform(deployment.provider).objects


def names(deployment: Deployment) -> frozenset[str]:
    """Of the resources that `declare_buckets` declares: buckets, and the providers that make them."""
    providers = frozenset(provider for _, provider in _provider_names(deployment))
    return providers | {_name(store) for store, _ in _provider_names(deployment)}


def _name(store: ObjectStore) -> str:
    return f"storage/{store.name}:bucket"


def _provider_names(deployment: Deployment) -> Iterator[tuple[ObjectStore, str]]:
    """The stores whose buckets are made here. Those in one place, reached in one way, share a provider."""
    names_by_place: dict[tuple[str, str, str], str] = {}
    for store in (each for each in deployment.object_stores if not each.is_adopted):
        number = f"-{len(names_by_place)}" if names_by_place else ""
        yield store, names_by_place.setdefault((store.endpoint, store.profile, store.region), f"object-storage{number}")


def _provider(name: str, store: ObjectStore, tags: dict[str, str]) -> AwsProvider:
    return AwsProvider(
        name,
        region=store.region,
        profile=store.profile,
        endpoint_url=store.endpoint,
        s3_addressing=store.addressing,
        tags=tags,
    )


def _bucket(deployment: Deployment, store: ObjectStore, provider: AwsProvider) -> AwsResource:
    # what is ephemeral goes with its content, unasked
    settings: dict[str, Any] = {"ForceDestroy": True} if store.ephemeral else {}
    settings |= _objects(deployment).bucket_settings
    return AwsResource.declare(
        "s3:Bucket",
        _name(store),
        {"Bucket": store.bucket, **settings},
        outputs=["Bucket"],
        provider=provider,
    )
