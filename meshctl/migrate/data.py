"""The operations of a migration on object stores: copy, list, compare. EDGE.

The steps use the protocol `Data`. `S3Data` implements it with rclone and botocore; tests have one in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshctl.migrate.planning import store_facts
from meshctl.migrate.planning.inputs import StoreFacts
from meshctl.objects import listing, sync, verify
from meshctl.objects.listing import Access
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.seeded import ETags


class Data(Protocol):
    """Each call takes functions that return credentials, because credentials may expire during a long copy."""

    def facts(self, store: str, source: Access, target: Access, *, is_target_adopted: bool) -> StoreFacts:
        """The sizes of a store on both sides, for the plan. `is_target_adopted`: as for `store_facts.facts`."""

    def copy(
        self,
        source: Access,
        target: Access,
        *,
        delete: bool,
        live: bool,
        recopy: Sequence[str],
        since_s: float,
        seeded_etags: ETags,
        others_until_s: float,
        on_copied: OnCopied,
        stop: Stop,
    ) -> sync.CopyResult:
        """See `sync.copy`."""

    def check_reachable(self, side: Access) -> None:
        """Raises: NoBucketError, UnreachableError, CredentialsError if the store can't be listed."""

    def listing(self, side: Access) -> listing.Listing:
        """Every object of the store."""

    def compare(
        self, source: Access, target: Access, *, deep: bool, on_read: OnCopied, stop: Stop
    ) -> verify.Comparison:
        """See `verify.compare`."""


class S3Data:
    """Between S3 stores. All data goes through this machine."""

    def facts(self, store: str, source: Access, target: Access, *, is_target_adopted: bool) -> StoreFacts:
        return store_facts.facts(store, source(), target(), is_target_adopted=is_target_adopted)

    def copy(
        self,
        source: Access,
        target: Access,
        *,
        delete: bool,
        live: bool,
        recopy: Sequence[str],
        since_s: float,
        seeded_etags: ETags,
        others_until_s: float,
        on_copied: OnCopied,
        stop: Stop,
    ) -> sync.CopyResult:
        return sync.copy(
            source,
            target,
            delete=delete,
            live=live,
            recopy=recopy,
            since_s=since_s,
            seeded_etags=seeded_etags,
            others_until_s=others_until_s,
            on_copied=on_copied,
            stop=stop,
        )

    def check_reachable(self, side: Access) -> None:
        listing.check_reachable(side())

    def listing(self, side: Access) -> listing.Listing:
        return listing.list_objects(side())

    def compare(
        self, source: Access, target: Access, *, deep: bool, on_read: OnCopied, stop: Stop
    ) -> verify.Comparison:
        return verify.compare(source, target, deep=deep, on_read=on_read, stop=stop)
