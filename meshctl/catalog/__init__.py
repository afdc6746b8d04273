"""Machine types and list prices as data. Called by `meshctl.cli`; read by `meshctl.resolve`.

`load_catalog` gives what each platform brings, read when that platform is first asked for; a platform reads its own
YAML file with `machines_of` and `storage_prices_of`. Those two are the EDGE here (they read files of a package, through
`data_files`); the values are plain and frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, TypeVar

from meshctl.catalog import data_files
from meshctl.errors import PlatformError
from meshctl.platforms import registry
from meshctl.platforms.interface import Platform

if TYPE_CHECKING:
    from meshctl.catalog.offers import Offers

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class ListPrice:
    """`market`: on-demand, spot or capacity-block. `region` "" = not told apart by the source."""

    market: str
    usd_per_hour: float
    region: str
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class Rdma:
    """`kind`: efa, infiniband or roce. `resource_count` is what a pod that takes the whole node asks for."""

    kind: str
    adapters: int
    resource: str
    resource_count: int
    efa_cards: tuple[int, int] | None  # first and last network card that carries EFA
    primary_efa: bool  # whether network card 0 carries EFA
    rdma_read: bool  # whether the adapters can read the memory of other nodes


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine type. 0 stands for "none"; `network_gbps` None for "not known"."""

    provider: str
    name: str
    gpu_model: str
    gpu_count: int
    gpu_memory_gib: float
    gpu_fraction: float  # 1 = whole GPUs
    cpu_cores: int
    memory_gib: float
    scratch_gb: float
    arch: str
    network_gbps: float | None
    network_burst: bool  # the bandwidth holds only for a while
    network_cards: int
    rdma: Rdma | None
    placements: tuple[str, ...]
    markets: tuple[str, ...]
    zones: tuple[str, ...] | None  # None = the API decides
    rack_nodes: int  # nodes are sold in racks of this many; 0 = singly
    quota_code: str
    prices: tuple[ListPrice, ...]
    source: str
    date: str
    verified: bool
    memory_source: str = ""  # of memory_gib, where it isn't the source of the row
    reported_gib: float = 0.0  # the memory that a node reports to Kubernetes; 0 = a share of memory_gib
    pods: int = 0  # the most that a node may have; 0 = the type doesn't say
    interface_addresses: int = 0  # of one network interface of card 0; 0 = not known
    drives: int = 0  # of local NVMe, all of one size; 0 = none, or not known
    interfaces: int = 0  # the most network interfaces that it may have; 0 = not known
    threads_per_core: int = 1  # how many of `cpu_cores` are threads of one core; 1 also where that is not known
    offers: Offers | None = field(default=None, compare=False)  # in which regions and zones; None = not known
    # on-demand, by region: of regions that `prices` does not have
    region_prices: Mapping[str, ListPrice] = field(default_factory=dict, compare=False)

    @property
    def node_labels(self) -> dict[str, str]:
        """Labels that its platform puts on a node of this type."""
        return registry.platform(self.provider).nodes.labels(self)

    def price(self, market: str, region: str) -> ListPrice | None:
        own = self.own_price(market, region)
        return own or (self.region_prices.get(region) if market == "on-demand" else None)

    def own_price(self, market: str, region: str) -> ListPrice | None:
        """Of its row, without the tables of other regions."""
        return next((p for p in self.prices if p.market == market and p.region in ("", region)), None)


@dataclass(frozen=True, slots=True)
class StoragePrice:
    provider: str
    service: str
    region: str
    usd_per_gb_month: float
    source: str
    date: str


@dataclass(frozen=True, eq=False)
class ByPlatform(Mapping[str, tuple[_Row, ...]]):
    """Rows by the name of the platform, each platform's read when it is first asked for: what is wrong with the file of
    one is an error of that one alone.

    `read`: the rows of a platform, None where it has none to give. Raises: PlatformError for a name that can't be used.
    """

    read: Callable[[Platform], tuple[_Row, ...] | None]
    _rows: dict[str, tuple[_Row, ...]] = field(default_factory=dict)

    def __getitem__(self, provider: str) -> tuple[_Row, ...]:
        if provider not in self._rows:
            platform = registry.installed().platforms[provider]
            try:
                rows = self.read(platform)
            except Exception as error:
                raise _unreadable(provider, error) from error
            if rows is None:
                raise KeyError(provider)
            self._rows[provider] = rows
        return self._rows[provider]

    def __iter__(self) -> Iterator[str]:
        return (platform.name for platform in registry.platforms() if self.get(platform.name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _unreadable(provider: str, error: Exception) -> PlatformError:
    """A function of a package reports what it raised as a PlatformError, which is about the function; the cause of that
    is about the file."""
    source = registry.installed().sources[provider]
    cause = error.__cause__ if isinstance(error, PlatformError) and error.__cause__ else error
    why = str(cause) if isinstance(cause, data_files.DataFileError) else f"{type(cause).__name__}: {cause}"
    return registry.Unusable(provider, source, f"its machine types and prices can't be read: {why}").error()


@dataclass(frozen=True, eq=False)
class Catalog:
    """Machines by provider, in file order; storage list prices. A `source` says in words where a row was read.

    Compared and hashed by identity, so that choices can be remembered for each catalog.
    """

    machines: Mapping[str, tuple[Machine, ...]]
    storage: Mapping[str, tuple[StoragePrice, ...]]

    def storage_price(self, provider: str, service: str, region: str) -> StoragePrice | None:
        rows = (row for row in self.storage.get(provider, ()) if (row.provider, row.service) == (provider, service))
        return next((row for row in rows if row.region in ("", region)), None)

    def machine(self, provider: str, name: str) -> Machine | None:
        return next((machine for machine in self.machines.get(provider, ()) if machine.name == name), None)


@cache
def load_catalog() -> Catalog:
    """The machine types and prices of all platforms, read once for each process."""
    return Catalog(ByPlatform(_machines), ByPlatform(lambda platform: platform.storage.prices()))


def _machines(platform: Platform) -> tuple[Machine, ...] | None:
    offer = platform.nodes.made_of
    return offer.catalog() if offer is not None else None


def machines_of(provider: str, file: Traversable) -> tuple[Machine, ...]:
    """The rows of a platform's YAML file, as `meshctl/catalog/aws.yaml` has them. Raises: DataFileError."""
    document = data_files.read(file)
    machines: list[Machine] = []
    with data_files.mistakes_in(file.name):
        rows = list(document["machines"].items())
    for name, row in rows:
        with data_files.mistakes_in(f"the machine type {name} in {file.name}"):
            machines.append(_machine(provider, name, row, document))
    return tuple(machines)


def storage_prices_of(provider: str, file: Traversable) -> tuple[StoragePrice, ...]:
    """A platform's rows of a YAML file, as `meshctl/catalog/storage.yaml` has them. Raises: DataFileError."""
    document = data_files.read(file)
    with data_files.mistakes_in(file.name):
        rows = (row for row in document["services"] if row["provider"] == provider)
        return tuple(StoragePrice(**_with_source_text(row, document)) for row in rows)


def _with_source_text(row: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {**row, "source": data_files.source_of(row, document)}


def _machine(provider: str, name: str, row: dict[str, Any], document: dict[str, Any]) -> Machine:
    gpu, network = row.get("gpu") or {}, row.get("network") or {}
    return Machine(
        provider=provider,
        name=name,
        gpu_model=gpu.get("model", ""),
        gpu_count=gpu.get("count", 0),
        gpu_memory_gib=gpu.get("memory_gib", 0),
        gpu_fraction=gpu.get("fraction", 1),
        cpu_cores=row["cpu_cores"],
        memory_gib=row["memory_gib"],
        reported_gib=row.get("reported_gib", 0.0),
        scratch_gb=row["scratch_gb"],
        pods=row.get("pods", 0),
        drives=row.get("drives", 0),
        interfaces=row.get("interfaces", 0),
        threads_per_core=row.get("threads_per_core", 1),
        arch=row["arch"],
        network_gbps=network.get("gbps"),
        network_burst=network.get("burst", False),
        network_cards=network.get("cards", 1),
        rdma=_rdma(row["rdma"]) if "rdma" in row else None,
        placements=tuple(row.get("placements", ())),
        markets=tuple(row["markets"]),
        zones=tuple(row["zones"]) if "zones" in row else None,
        rack_nodes=row.get("rack_nodes", 0),
        quota_code=row.get("quota_code", ""),
        prices=tuple(ListPrice(**{"region": "", **_with_source_text(price, document)}) for price in row["prices"]),
        source=data_files.source_of(row, document),
        date=row["date"],
        verified=row["verified"],
        memory_source=data_files.source_words(row.get("memory_source", row["source"]), document),
    )


def _rdma(row: dict[str, Any]) -> Rdma:
    cards = row.get("efa_cards")
    return Rdma(
        kind=row["kind"],
        adapters=row.get("adapters", 0),
        resource=row.get("resource", ""),
        resource_count=row.get("resource_count", 0),
        efa_cards=(cards[0], cards[1]) if cards else None,
        primary_efa=row.get("primary", False),
        rdma_read=row.get("rdma_read", True),
    )
