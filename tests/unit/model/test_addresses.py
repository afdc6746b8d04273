"""What becomes a part of a URL, a host name or an ARN is checked; a password in it is never repeated."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshctl.model.files import addresses


def refused(kind: Any, text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(text)
    return str(caught.value.errors()[0]["ctx"]["error"])


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (addresses.AwsRegion, ["us-east-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-7"]),
        (addresses.AwsZone, ["us-east-1a", "us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1", "us-gov-west-1c"]),
        (addresses.Region, ["US-EAST-04A", "RNO2A", "us-east-1", "auto", "default", "garage"]),
        (addresses.HostedZone, ["Z0123456", "/hostedzone/Z0123456", "example.com", "example.com.", "a_b.example"]),
        (addresses.Url, ["https://cwobject.com", "http://127.0.0.1:9000", "https://[::1]:9000", "http://minio:9000"]),
        (addresses.Url, ["https://s3.eu-1.example.com:443", "http://minio_1.storage.svc:9000"]),
        (addresses.Backend, ["s3://acme?endpoint=https://x.supabase.co/storage/v1/s3&s3ForcePathStyle=true"]),
        (addresses.Backend, ["file://./.meshctl/state", "file:///srv/a b#c?metadata=skip", "file://~/state"]),
        (addresses.Backend, ["s3://acme-state", "s3://acme-state/mesh?region=us-east-1&endpoint=minio:9000"]),
        (
            addresses.Backend,
            [
                "gs://acme_state/x",
                "s3://acme?endpoint=http://127.0.0.1:9000&region=auto",
                "azblob://states",
                "https://api.pulumi.com",
                "http://host:8080/acme",
            ],
        ),
        (
            addresses.SecretsProvider,
            ["passphrase", "default", "awskms://alias/x?region=us-east-1", "gcpkms://projects/p"],
        ),
        (
            addresses.SecretsProvider,
            ["awskms:///arn:aws:kms:us-east-1:1:key/a", "hashivault://key", "azurekeyvault://v/k"],
        ),
    ],
)
def test_what_was_right_stays_right(kind: Any, texts: list[str]) -> None:
    for text in texts:
        assert TypeAdapter(kind).validate_python(text) == text
    assert TypeAdapter(addresses.Url).validate_python("https://cwobject.com/") == "https://cwobject.com"


@pytest.mark.parametrize(
    "text", ["us-east-1.evil.com/#", "us-east-1/", "us-east-1\n", "us east 1", "a@b", "x\0", "-a", ""]
)
def test_a_region_is_nothing_but_a_region(text: str) -> None:
    assert "is not an AWS region" in refused(addresses.AwsRegion, text)
    assert "is not an availability zone" in refused(addresses.AwsZone, text)
    assert "is not a region" in refused(addresses.Region, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://user:pw@host", "holds no user and password"),
        ("https://user@host", "holds no user and password"),
        ("https://host#pw", "ends with its host and port"),
        ("https://host?pw", "ends with its host and port"),
        ("https://host/?pw=1", "ends with its host and port"),
        ("https://host/bucket", "ends with its host and port"),
        ("ftp://host", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://a b", "is not a URL"),
        ("https://a\nb", "is not a URL"),
        ("https://a\0b", "is not a URL"),
        ("https://host:0", "is not a URL"),
        ("https://host:x", "is not a URL"),
        ("https://h\\@evil", "is not a URL"),
        ("https://ho,st", "is not a URL"),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(text: str, said: str) -> None:
    told = refused(addresses.Url, text)
    assert said in told
    assert "pw" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file://a\0b", "can't hold a NUL character"),
        ("s3://key:pw@bucket", "holds no user and password"),
        ("https://user:pw@api.pulumi.com", "holds no user and password"),
        ("s3://", "names no bucket, folder or host"),
        ("s3://?region=x", "names no bucket, folder or host"),
        ("s3://a b", "is not the URL of a bucket or host"),
        ("s3://acme?endpoint=http://[", "is not a host, nor a URL like"),
        ("s3://acme?endpoint=u:pw@minio:9000", "holds no user and password"),
        ("s3://acme?region=x.evil.com%2F%23", "is not a region"),
        ("s3://bucket#x", "is not the URL of a bucket or host"),
        ("https://ho,st", "is not the URL of a bucket or host"),
        ("/srv/state", 'write a folder as "file:///srv/state"'),
        ("user:pw@host", "this is not a URL"),
        ("ftp://host", "expected file://"),
        ("file://", "names no bucket, folder or host"),
    ],
)
def test_a_backend_is_a_folder_a_bucket_or_a_service(text: str, said: str) -> None:
    told = refused(addresses.Backend, text)
    assert said in told
    assert "pw" not in told


@pytest.mark.parametrize("text", ["Z1/../x", "example.com/x", "a b", "a@b", "x\0", ""])
def test_a_hosted_zone_is_an_id_or_a_name(text: str) -> None:
    assert "neither the id of a hosted zone" in refused(addresses.HostedZone, text)


@pytest.mark.parametrize(
    "text", ["vault", "awskms", "awskms://", "passphrase ", "hf_abcDEF", "https://x", "awskms://a\n"]
)
def test_an_unknown_secrets_provider_is_refused_without_its_text(text: str) -> None:
    assert refused(addresses.SecretsProvider, text) == "is no secrets provider"
