"""The rates on which the estimates of a plan are based, each with its source. PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CopyRate:
    bytes_per_s: float
    source: str


@dataclass(frozen=True)
class ListingRate:
    objects_per_s: float
    source: str


LISTING_RATE = ListingRate(5000, "assumed: 5,000 objects a second")

# between the stores and the operator's machine; the progress of a copy shows the actual rate
COPY_RATE = CopyRate(125e6, "assumed: 1 Gbit/s through this machine")
