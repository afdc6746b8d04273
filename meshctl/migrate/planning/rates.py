"""Rates that a plan's estimates rest on, each with its source. PURE."""

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

# From the operator's machine; what is really reached is shown while copying.
COPY_RATE = CopyRate(125e6, "assumed: 1 Gbit/s through this machine")
