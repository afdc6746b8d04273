"""Quantities as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshctl.model.files import units


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.gib, "80GB", 74.505806),
        (units.gib, "1TiB", 1024),
        (units.gib, "64 GiB", 64),
        (units.gib, "1.5Ti", 1536),
        (units.gigabytes, "10TB", 10000),
        (units.gbps, "400Gbps", 400),
        (units.gbps, "3.2Tbps", 3200),
        (units.mbps, "1.2GB/s", 1200),
        (units.seconds, "120s", 120),
        (units.seconds, "2m", 120),
        (units.usd, "1500 USD", 1500),
        (units.usd_per_hour, "21.50 USD/h", 21.5),
        (units.cores, 64, 64),
        (units.cores, "500m", 0.5),
        (units.seconds, "0.5m", 30),
        (units.seconds, "1.1h", 3960),
        (units.gib, "1024PiB", 2**30),
    ],
)
def test_reads(read: Callable[[object], float], text: object, value: float) -> None:
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (units.gib, "80GX", 'unknown unit "GX"'),
        (units.gib, "80", '"80" has no unit'),
        (units.gib, 80, "80 has no unit"),
        (units.gib, True, "not a quantity"),
        (units.gib, "eighty GB", "can't read"),
        (units.gib, "-1GB", "can't read"),
        (units.gib, "0GB", "more than zero"),
        (units.gbps, "400GB", 'unknown unit "GB"'),
        (units.usd_per_hour, "21.50 USD", 'unknown unit "USD"'),
        (units.usd_per_hour, "0 USD/h", "more than zero"),
        (units.gib, "9" * 320 + "TB", "at most 1024PiB"),
        (units.gib, "1025PiB", '"1025PiB" is more than it can be'),
        (units.gigabytes, "9" * 5000 + "GB", '9…" is more than it can be'),
        (units.gib, "\u0668GB", "can't read"),
        (units.gbps, "9" * 330 + "Gbps", "at most 1000Tbps"),
        (units.mbps, "9" * 330 + "GB/s", "at most 1000TB/s"),
        (units.usd, "9" * 330 + " USD", "at most 1000000000 USD"),
        (units.usd_per_hour, "9" * 330 + " USD/h", "at most 1000000000 USD/h"),
        (units.seconds, "0.4s", "whole seconds"),
        (units.seconds, "1.5s", "whole seconds"),
        (units.seconds, "1.999999s", "whole seconds"),
        (units.seconds, "8761h", "at most 8760h"),
        (units.cores, float("inf"), "at most 1000000"),
        (units.cores, 10**6 + 1, "at most 1000000"),
        (units.cores, "9" * 5000 + "m", "at most 1000000"),
        (units.cores, "\u0668m", "CPU cores"),
        (units.cores, 0.0004, "a thousandth of a core"),
        (units.cores, "many", "CPU cores"),
        (units.cores, True, "CPU cores"),
    ],
)
def test_refuses(read: Callable[[object], object], text: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text)


def test_sizes_for_people() -> None:
    assert [units.format_gib(value) for value in (74.5058, 1024, 4800, 2048)] == [
        "74.5 GiB",
        "1 TiB",
        "4800 GiB",
        "2 TiB",
    ]
