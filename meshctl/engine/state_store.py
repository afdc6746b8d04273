"""Reads and writes small files in the folder or bucket of the Pulumi state. EDGE.

They are the journals and locks of migrations and shifts, and the results of benchmarks. Called by `migrate`, `shift`,
`bench` and `project`. A journal is next to the state so that whoever resumes after a crash finds both, on this machine
or another. On local disk every record is fsynced, file and folder, because an intent must survive a
power cut; obstore's local store does not do that.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store, from_url

from meshctl import own_folder
from meshctl.clients import certificates
from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.engine import state_folder
from meshctl.errors import CredentialsError, UnreachableError, UsageError
from meshctl.model.persisted import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import ObjectStore as Store

_BUCKETS = ("s3", "gs", "azblob")
_SCHEMES = {"azblob": "az"}  # Pulumi's name -> obstore's


@dataclass(frozen=True)
class StateStore:
    """Small JSON texts by path. `folder` is set when the store is on local disk."""

    store: Store
    folder: Path | None = None

    def create(self, path: str, text: str) -> bool:
        """Write a new object; False when the path exists already. The object is durable when this returns."""
        with _translate_errors():
            try:
                obstore.put(self.store, path, text.encode(), mode="create")
            except exceptions.AlreadyExistsError:
                return False
        if self.folder is not None:
            _fsync(self.folder / path, self.folder)
        return True

    def read(self, path: str) -> str | None:
        """The text; None when there is no such object. Raises: UnreadableError when it is not UTF-8."""
        with _translate_errors():
            try:
                content = bytes(obstore.get(self.store, path).bytes())
            except (exceptions.NotFoundError, FileNotFoundError):
                return None
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise unreadable(f"the file {path} in the state backend", f"it is not UTF-8 text: {error}") from error

    def paths(self, prefix: str) -> Sequence[str]:
        """All paths under `prefix`, sorted."""
        with _translate_errors():
            return sorted(item["path"] for batch in obstore.list(self.store, prefix=prefix) for item in batch)

    def delete(self, path: str) -> None:
        with _translate_errors():
            try:
                obstore.delete(self.store, path)
            except (exceptions.NotFoundError, FileNotFoundError):
                return


def keeps_journals(backend: str) -> bool:
    """Whether the backend can hold files, as journals are: a folder or a bucket can, Pulumi Cloud can't."""
    return state_folder.is_folder(backend) or urllib.parse.urlsplit(backend).scheme in _BUCKETS


def open_state_store(backend: str, folder: Path) -> StateStore:
    """Open the store of a Pulumi backend URL; `file://./…` is relative to `folder`, where mesh.yaml is.

    Raises: UsageError for a backend that can't hold files (Pulumi Cloud), or an incomplete URL; CredentialsError.
    """
    if state_folder.is_folder(backend):
        path = state_folder.path_of(backend, folder)
        own_folder.make(path)
        return StateStore(LocalStore(path), path)
    parts = urllib.parse.urlsplit(backend)
    if not keeps_journals(backend):
        raise UsageError(
            f"the state backend {backend or 'Pulumi Cloud'} can't hold files",
            why="journals, locks and results are stored next to the state, so it must be in a folder or a bucket",
            hint="set `state: {backend: s3://bucket}` (or gs://, azblob://, file://) in environments.yaml",
        )
    url = f"{_SCHEMES.get(parts.scheme, parts.scheme)}://{parts.netloc}{parts.path}"
    query = dict(urllib.parse.parse_qsl(parts.query))
    with _translate_opening_errors(query.get("profile", "")):
        if parts.scheme == "s3":
            return StateStore(_s3(url, query))
        return StateStore(from_url(url))


def _s3(url: str, query: dict[str, str]) -> Store:
    """Pulumi's own query parameters: region, endpoint, profile, s3ForcePathStyle, disableSSL."""
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session(profile_name=query.get("profile") or None, region_name=query.get("region") or None)
    if session.get_credentials() is None:
        raise aws_errors.no_credentials(_aws_request(query.get("profile", "")))
    insecure = query.get("disableSSL") == "true"
    region = session.region_name or "us-east-1"
    endpoint = query.get("endpoint") or session.client("s3", region_name=region).meta.endpoint_url
    if "://" not in endpoint:
        endpoint = f"{'http' if insecure else 'https'}://{endpoint}"
    options: dict[str, Any] = {} if ".amazonaws.com" in endpoint else {"endpoint": endpoint}
    return S3Store.from_url(
        url,
        region=region,
        virtual_hosted_style_request=not options and query.get("s3ForcePathStyle") != "true",
        client_options={"allow_http": endpoint.startswith("http://")},
        credential_provider=Boto3CredentialProvider(session),
        **options,
    )


def _fsync(path: Path, root: Path) -> None:
    folders = [path, *path.parents]
    for item in folders[: folders.index(root) + 1]:
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _aws_request(profile: str) -> AwsRequest:
    return AwsRequest("the state backend", profile, "check `state.backend` and the AWS profile")


@contextmanager
def _translate_opening_errors(profile: str) -> Iterator[None]:
    """Opening asks the backend nothing, so errors are about the URL, or the configuration that the SDKs find here.

    `profile`: the AWS profile that the URL names, "" for the default one.
    """
    try:
        with aws_errors.translate_errors(_aws_request(profile)):
            yield
    except (exceptions.BaseError, ValueError) as error:
        raise UsageError(
            "the state backend can't be opened",
            why=_message(error),
            hint="check `state.backend`, and the variables that the cloud's own SDK reads",
        ) from error


def _message(error: Exception) -> str:
    """The message of an obstore error, without the Rust debug output below it."""
    return str(error).partition("\n\nDebug source")[0]


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise CredentialsError(
            "the state backend can't be read or written",
            why=_message(error),
            hint="check the credentials, and their rights on what `state.backend` in environments.yaml names",
        ) from error
    except exceptions.GenericError as error:
        certificates.refuse("the state backend", error)
        raise UnreachableError(
            "the state backend does not answer", why=_message(error), hint="check `state.backend` and the network"
        ) from error
