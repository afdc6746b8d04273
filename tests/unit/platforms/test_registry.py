"""Platforms are found by their entry points; what is wrong with one is said of that one, and the others go on."""

from __future__ import annotations

import ast
import re
import signal
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from meshctl.catalog import load_catalog
from meshctl.diagnosis import diagnose
from meshctl.errors import DiagnosticsError, PlatformError, UsageError
from meshctl.load import load
from meshctl.platforms import interface, registry
from meshctl.resolve import checked_name
from tests import acme_platform
from tests.acme_platform import SOURCE, entry_points_in, importable, install, installed

ROOT = Path(__file__).parents[3]
OWN = ["aws", "coreweave", "kubernetes", "onprem"]
CONSTRUCTORS = {
    name for name, value in vars(interface).items() if isinstance(value, type) and issubclass(value, interface.Part)
}


def found_in(*sites: Path) -> registry.Installed:
    with importable(*sites):
        return registry.find(entry_points_in(*sites))


def problem(*sites: Path) -> str:
    """What is wrong with the one platform in the folders that can't be used."""
    (unusable,) = found_in(*sites).unusable
    return str(unusable)


def test_own_platforms_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(project["entry-points"][registry.GROUP]) == OWN
    own = [name for name, source in registry.installed().sources.items() if source.startswith("meshctl ")]
    assert own == OWN, "meshctl is installed with other entry points than pyproject.toml has: install it anew"


def test_a_platform_of_another_package_is_found(tmp_path: Path) -> None:
    found = found_in(install(tmp_path))
    assert list(found.platforms) == ["acme"]
    assert (found.sources["acme"], found.unusable) == ("platform-acme 1.0", ())


def parts_of_acme() -> Iterator[tuple[str, str, ast.keyword]]:
    """(constructor, part, place) of every part that the package gives."""
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CONSTRUCTORS:
            yield from ((node.func.id, keyword.arg or "", keyword) for keyword in node.keywords)


def without(place: ast.keyword) -> str:
    """The source of acme without one part."""
    lines = SOURCE.read_bytes().splitlines(keepends=True)
    first, last = place.lineno - 1, (place.end_lineno or 0) - 1
    after = lines[last][place.end_col_offset :]
    lines[first : last + 1] = [lines[first][: place.col_offset] + after.removeprefix(b",").removeprefix(b" ")]
    return b"".join(lines).decode()


PARTS = list(parts_of_acme())


def test_every_part_of_the_interface_is_given_by_acme() -> None:
    made = {name for name, _, _ in PARTS}
    assert {
        "Elsewhere",
        "BalancerTls",
        "ClusterEntries",
        "MadeCluster",
        "MadeClasses",
        "GrowOnly",
        "Cluster",
        "NameRights",
        "NeuralMeshNodes",
        "Part",
    } == CONSTRUCTORS - made  # what a managed cluster has not, nor a DNS service; parts that may be left out


@pytest.mark.parametrize(("constructor", "part", "place"), PARTS, ids=[f"{name}.{part}" for name, part, _ in PARTS])
def test_a_part_that_is_left_out_is_named(tmp_path: Path, constructor: str, part: str, place: ast.keyword) -> None:
    said = problem(install(tmp_path, source=without(place)))
    whose = "" if constructor == "Platform" else f" of its {constructor}"
    assert said == f'the platform "acme" of platform-acme 1.0 can\'t be used: it lacks the part {part}{whose}'


def parts_of(part: interface.Part) -> Iterator[interface.Part]:
    """The part, and all parts in it."""
    yield part
    for field in fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        yield from (inner for each in values if isinstance(each, interface.Part) for inner in parts_of(each))


# what AWS has and acme has not: a cluster that meshctl makes, a DNS service, and more
OF_AWS = {type(part).__name__: part for part in parts_of(registry.platform("aws"))}
CAME_LATER = {
    ("MadeCluster", "entries"),
    ("Nodes", "domain_labels"),
    ("Nodes", "left_alone"),
    ("Preflight", "name_rights"),
    ("Storage", "neural_mesh"),
}


def test_each_part_of_the_interface_is_tried() -> None:
    assert {name for name, _, _ in PARTS} | OF_AWS.keys() | {"Part"} == CONSTRUCTORS


@pytest.mark.parametrize(
    ("constructor", "part"),
    [(name, field.name) for name, made in OF_AWS.items() for field in fields(made)],  # type: ignore[arg-type]
)
def test_only_what_came_later_may_be_left_out(constructor: str, part: str) -> None:
    made = OF_AWS[constructor]
    others = {field.name: getattr(made, field.name) for field in fields(made) if field.name != part}  # type: ignore[arg-type]
    if (constructor, part) in CAME_LATER:
        assert getattr(type(made)(**others), part) is None
        return
    whose = "" if constructor == "Platform" else f" of its {constructor}"
    with pytest.raises(interface.PartsError, match=f"^it lacks the part {part}{whose}$"):
        type(made)(**others)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("interface=2", "interface=3", "it was made for version 3 of the platform interface, and this is version 2"),
        ('name="acme"', 'name="other"', 'its entry point is called "acme" and the platform itself "other"'),
        (
            "from typing import",
            "from no_such_module import",
            "its module platform_acme fails to import: ModuleNotFoundErr",
        ),
        ("PLATFORM: Final = Platform(", "PLATFORM: Final = dict(", "platform_acme:PLATFORM is no Platform, but dict"),
        ("PLATFORM: Final", "OTHER: Final", "its module platform_acme fails to import: AttributeError"),
        ("cluster=given.CLUSTER", "cluster=None", "its part cluster is None, which is no Cluster"),
        ("declare=given.declare", "declare={}", "its part declare is {}, which is no Declare"),
        ("objects=_node_groups", "objects=()", "its part objects of its Nodes is (), which is no Callable"),
        ("egress=", "exit_price=1,\n    egress=", "the interface has no part exit_price"),
        ('provider: Literal["acme"]', "provider: str", 'its environment must have `provider: Literal["acme"]`'),
        (
            "AcmeEnvironment(GivenClusterEnvironment)",
            "AcmeEnvironment(Kubeconfig)",
            "its part environment is <class 'platform_acme.AcmeEnvironment'>, which is no type[PlatformEnvironment]",
        ),
        (
            "AcmeEnvironment(GivenClusterEnvironment)",
            "AcmeEnvironment(__import__('pydantic').BaseModel)",
            "its part environment is <class 'platform_acme.AcmeEnvironment'>, which is no type[PlatformEnvironment]",
        ),
        ("environment=AcmeEnvironment", "environment=None", "its part environment is None, which is no type[Platf"),
        ("environment=AcmeEnvironment", 'environment="x"', "its part environment is 'x', which is no type[Platform"),
        ('Literal["acme"]', 'Literal["aws"]', 'its environment must have `provider: Literal["acme"]`'),
        ('Literal["acme"]', 'Literal["acme", "zzz"]', 'its environment must have `provider: Literal["acme"]`'),
        ("long_terms={}", "long_terms=None", "its part long_terms of its Words is None, which is no Mapping[tuple"),
        ("hosts={", "hosts=None and {", "its part hosts of its ObjectStores is None, which is no Mapping[str, "),
        ("StoreHost(addressing=", "dict(addressing=", "its part hosts of its ObjectStores is {'objects.acme.ex"),
        ('resources=("acme.example/hca",)', "resources=None", "its part resources of its Fabric is None, which is"),
        ('resources=("acme.example/hca",)', 'resources=("acme")', "its part resources of its Fabric is 'acme', whi"),
        ('resources=("acme.example/hca",)', "resources=(1,)", "its part resources of its Fabric is (1,), which is"),
        ("moved_by_others=frozenset()", "moved_by_others=None", "its part moved_by_others of its Nodes is None"),
        ("most_pods=110", "most_pods=None", "its part most_pods of its Machines is None, which is no int"),
        ("usd_per_gb=0.02", 'usd_per_gb="free"', "its part usd_per_gb of its Egress is 'free', which is no float"),
        ("has_keys=True", "has_keys=1", "its part has_keys of its ObjectStores is 1, which is no bool"),
        ('addressing="virtual"', 'addressing="v"', "its part addressing of its StoreHost is 'v', which is no Lit"),
    ],
)
def test_a_platform_that_cant_be_used_says_why(tmp_path: Path, old: str, new: str, why: str) -> None:
    source = SOURCE.read_text()
    assert old in source
    said = problem(install(tmp_path, source=source.replace(old, new, 1)))
    assert said.startswith(f'the platform "acme" of platform-acme 1.0 can\'t be used: {why}')


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt", "GeneratorExit"])
def test_a_module_that_ends_the_process_is_named_too(tmp_path: Path, error: str) -> None:
    assert error.partition("(")[0] in problem(install(tmp_path, source=f"raise {error}\n"))


def test_ctrl_c_ends_the_command_and_not_the_platform(tmp_path: Path) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        problem(install(tmp_path, source=source))
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("acme", 'its entry_points.txt has the line "acme", and must have NAME = MODULE:OBJECT'),
        ("acme = platform acme", 'its entry point is "platform acme", and must be MODULE:OBJECT, like platform_acme:P'),
        ("acme = platform_acme", 'its entry point is "platform_acme", and must be MODULE:OBJECT, like platform_acme:P'),
    ],
)
def test_an_entry_point_that_cant_be_read_is_named_and_the_others_are_found(
    tmp_path: Path, line: str, why: str
) -> None:
    with installed(install(tmp_path, points=line)):
        (unusable,) = registry.installed().unusable
        assert str(unusable).startswith(f'the platform "acme" of platform-acme 1.0 can\'t be used: {why}')
        assert list(registry.installed().platforms) == OWN


@pytest.mark.parametrize("metadata", [None, "Metadata-Version: 2.1\nVersion: 1.0\n"])
def test_a_package_without_a_name_is_found_all_the_same(tmp_path: Path, metadata: str | None) -> None:
    (info,) = install(tmp_path).glob("*.dist-info/METADATA")
    info.unlink() if metadata is None else info.write_text(metadata)
    assert found_in(tmp_path).sources == {"acme": "platform_acme:PLATFORM"}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (None, "machines.yaml can't be read: "),
        ("machines: {x: {cpu_cores: 1}}\n", 'the machine type x in machines.yaml lacks the key "memory_gib"'),
        ("machines: {x: 1}\n", "the machine type x in machines.yaml has a value of another form: "),
        ("machines: {x: [\n", "machines.yaml can't be read: "),
        ("sources: {}\n", 'machines.yaml lacks the key "machines"'),
    ],
)
def test_machines_that_cant_be_read_are_an_error_of_that_platform_alone(
    tmp_path: Path, rows: str | None, why: str
) -> None:
    file = install(tmp_path) / acme_platform.PACKAGE / "machines.yaml"
    file.unlink() if rows is None else file.write_text(rows)
    with installed(tmp_path):
        catalog = load_catalog()
        assert catalog.machine("aws", "p5.48xlarge")
        assert catalog.storage["aws"]
        with pytest.raises(PlatformError, match=r'the platform "acme" of platform-acme 1\.0') as caught:
            catalog.machine("acme", "cpu32")
        assert caught.value.why.startswith(f"its machine types and prices can't be read: {why}")
        with pytest.raises(PlatformError, match=r'the platform "acme" of platform-acme 1\.0') as caught:
            catalog.storage_price("acme", "object", "")
        assert caught.value.why.startswith("its machine types and prices can't be read: machines.yaml ")


@pytest.mark.parametrize(
    ("part", "call"),
    [
        ("words.gaps", lambda acme: acme.words.gaps(None)),
        ("storage.block", lambda acme: acme.storage.block(None, "disk", None)),
        ("nodes.labels", lambda acme: acme.nodes.labels(None)),
        ("declare", lambda acme: acme.declare(None, {})),
    ],
)
def test_a_function_that_raises_is_named_with_its_package(
    tmp_path: Path, part: str, call: Callable[[interface.Platform], object]
) -> None:
    name = part.rpartition(".")[2]
    source = SOURCE.read_text() + "\ndef _broken(*_arguments, **_options):\n    raise KeyError('north-9')\n"
    broken, count = re.subn(rf"^(\s+{name})=[^(\n]+?(\(.*\))?,$", r"\1=lambda *a, **o: _broken(),", source, flags=re.M)
    assert count == 1
    acme = found_in(install(tmp_path, source=broken)).platforms["acme"]
    with pytest.raises(PlatformError, match=r'the platform "acme" of platform-acme 1\.0 failed') as caught:
        call(acme)
    assert caught.value.why == f"its function {part} raised KeyError: 'north-9'"


def test_a_named_error_of_a_platform_stays_as_it_is(tmp_path: Path) -> None:
    refused = "from meshctl.errors import UsageError\ndef _refused():\n    raise UsageError('no such region')\n"
    source = f"{SOURCE.read_text()}\n{refused}"
    refusing, count = re.subn(r"^(\s+gaps)=[^(\n]+,$", r"\1=lambda *a: _refused(),", source, flags=re.M)
    assert count == 1
    acme = found_in(install(tmp_path, source=refusing)).platforms["acme"]
    with pytest.raises(UsageError, match="no such region"):
        acme.words.gaps(None)


def test_a_name_that_is_taken_stays_with_who_has_it(tmp_path: Path) -> None:
    first, second = install(tmp_path / "a"), install(tmp_path / "b", name="zz-acme", points="acme = zz_acme:PLATFORM")
    found = found_in(first, second)
    assert found.sources["acme"] == "platform-acme 1.0"
    assert problem(first, second) == (
        'the platform "acme" of zz-acme 1.0 can\'t be used: the name is taken by platform-acme 1.0'
    )


def test_names_of_meshctl_itself_are_never_taken_away(tmp_path: Path) -> None:
    source = SOURCE.read_text().replace('name="acme"', 'name="aws"').replace('Literal["acme"]', 'Literal["aws"]')
    with installed(install(tmp_path, source=source, name="a-thief", points="aws = a_thief:PLATFORM")):
        assert registry.installed().sources["aws"].startswith("meshctl ")
        (unusable,) = registry.installed().unusable
        assert (unusable.source, unusable.problem) == (
            "a-thief 1.0",
            f"the name is taken by {registry.installed().sources['aws']}",
        )
        assert registry.unusable("aws") is None


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[None]:
    source = SOURCE.read_text().replace("interface=2", "interface=3")
    with installed(install(tmp_path / "site", source=source)):
        yield


MESH = "apiVersion: meshctl/v1\nkind: Mesh\nname: m\npools: {web: {nodes: 1, cpu: {cores: 4}}}\n"
HEAD = "apiVersion: meshctl/v1\nkind: Environments\nenvironments:\n"


def files(folder: Path, environments: str) -> tuple[Path, Path]:
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(HEAD + environments)
    return folder / "mesh.yaml", folder / "environments.yaml"


@pytest.mark.usefixtures("broken")
def test_an_environment_on_a_broken_platform_is_a_mistake_at_its_place(tmp_path: Path) -> None:
    _, environments = load(*files(tmp_path, "  a: {provider: acme, region: north-1}\n"))
    with pytest.raises(DiagnosticsError) as caught:
        checked_name(environments, "a")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.line, diagnostic.path) == (4, "environments.a.provider")
    assert diagnostic.message == (
        'the platform "acme" of platform-acme 1.0 can\'t be used: it was made for version 3 of the platform interface,'
        " and this is version 2"
    )


@pytest.mark.usefixtures("broken")
def test_environments_on_other_platforms_go_on(tmp_path: Path) -> None:
    text = "  a: {provider: acme, region: north-1}\n  k: {provider: kubernetes}\n  n: {provider: kubernetis, x: 1}\n"
    _, environments = load(*files(tmp_path, text))
    assert environments.environments["k"].provider == "kubernetes"
    assert checked_name(environments, "k") == "k"
    assert [(each.line, each.path) for each in environments.mistakes] == [
        (4, "environments.a.provider"),
        (6, "environments.n.provider"),
    ]
    assert environments.mistakes[1].message.endswith('got "kubernetis"; did you mean "kubernetes"?')
    assert set(OWN) <= set(registry.installed().platforms)
    assert "acme" not in registry.installed().platforms


@pytest.mark.usefixtures("broken")
def test_beside_another_mistake_all_are_told_at_once(tmp_path: Path) -> None:
    text = "  a: {provider: acme}\n  b: {provider: nebula}\n  k: {provider: kubernetes, x: 1}\n"
    with pytest.raises(DiagnosticsError) as caught:
        load(*files(tmp_path, text))
    assert [each.line for each in caught.value.diagnostics] == [4, 5, 6]


@pytest.mark.usefixtures("broken")
def test_what_was_deployed_there_says_what_is_missing() -> None:
    with pytest.raises(PlatformError) as caught:
        registry.platform("acme")
    assert caught.value.what == 'the platform "acme" of platform-acme 1.0 can\'t be used'
    assert "platform-acme" in caught.value.hint
    with pytest.raises(PlatformError, match='the platform "nebula" is not installed'):
        registry.platform("nebula")


@pytest.mark.usefixtures("broken")
def test_doctor_shows_every_platform() -> None:
    shown = {finding.name: finding for finding in diagnose() if finding.group == "platforms"}
    assert list(shown)[: len(OWN)] == OWN
    assert {shown[name].state for name in OWN} == {"ok"}
    assert (shown["acme"].state, shown["acme"].source) == ("optional", "platform-acme 1.0")
    assert "made for version 3" in shown["acme"].detail


def test_an_installation_from_before_the_entry_points_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "installed", lambda: registry.Installed())
    with pytest.raises(PlatformError, match="meshctl's own platforms are not installed") as caught:
        registry.platforms()
    assert "install meshctl anew" in caught.value.hint


def test_acme_is_gone_again_when_it_is_not_installed(tmp_path: Path) -> None:
    with installed(install(tmp_path / "site")):
        assert load(*files(tmp_path, "  a: {provider: acme, region: north-1}\n"))[1].mistakes == []
    assert load(*files(tmp_path, "  a: {provider: acme, region: north-1}\n"))[1].mistakes != []
    assert acme_platform.PACKAGE not in registry.installed().sources
