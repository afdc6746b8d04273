"""Reading user files: everything that is wrong, with its place, in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load, load_mesh
from tests.golden_files import Golden

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
QUOTE = '"'
MESH = "apiVersion: meshctl/v1\nkind: Mesh\nname: m\npools:\n  p: {nodes: 1}\n"
ENVIRONMENTS = (
    "apiVersion: meshctl/v1\nkind: Environments\n"
    "environments:\n  e: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}\n"
)


def problems(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mesh: str | bytes = MESH, environments: str = ENVIRONMENTS
) -> list[str]:
    monkeypatch.chdir(folder)
    Path("mesh.yaml").write_bytes(mesh if isinstance(mesh, bytes) else mesh.encode())
    Path("environments.yaml").write_text(environments, encoding="utf-8")
    try:
        read = load(Path("mesh.yaml"), Path("environments.yaml"))
    except DiagnosticsError as error:
        return [str(diagnostic) for diagnostic in error.diagnostics]
    return [str(diagnostic) for files in read for diagnostic in files.mistakes]


def test_the_example_is_valid() -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    assert mesh.pools["serve"].nodes.max == 6
    assert [each.model for each in mesh.pools["train"].accelerators or ()] == [("H100",)]
    assert list(environments.environments) == ["aws-east", "cw", "dc1"]
    assert environments.secret_source("hf-token").env == "HF_TOKEN"
    assert environments.secret_source("other-token").env == "MESHCTL_SECRET_OTHER_TOKEN"


def test_every_diagnostic_in_one_run(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parent / "diagnostics"
    mesh, environments = (folder / "mesh.yaml").read_text(), (folder / "environments.yaml").read_text()
    found = problems(tmp_path, monkeypatch, mesh, environments)
    golden("check/diagnostics.txt", "\n".join(found) + "\n")


def test_a_reference_to_nothing_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = MESH.replace("{nodes: 1}", "{nodes: 1, fabric: backnd}") + "fabrics:\n  backend: {kind: rdma}\n"
    assert problems(tmp_path, monkeypatch, mesh) == [
        'mesh.yaml:5:25: pools.p.fabric: no fabric named "backnd"; did you mean "backend"?'
    ]


def test_a_merge_key_is_named_and_nothing_is_missed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = MESH + "  q: &q {nodes: 1, cpu: {cores: 4}}\n  r:\n    <<: *q\n    arch: i386\n"
    merged, other = problems(tmp_path, monkeypatch, mesh)
    assert merged == "mesh.yaml:8:5: pools.r.<<: YAML 1.2 has no merge keys; write the keys out"
    assert other.startswith("mesh.yaml:9:11: pools.r.arch: ")
    assert problems(tmp_path, monkeypatch, MESH + 'labels: {"<<": a}\n')[0].startswith("mesh.yaml:6:10: labels.<<: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "mesh.yaml:1:1: is empty"),
        ("# only a comment\n", "mesh.yaml:1:1: is empty"),
        ("- a\n", "mesh.yaml:1:1: must be a mapping, not a list"),
        ("a: [\nb: }\n", "mesh.yaml:2:4: not valid YAML: did not find expected node content"),
        ("a: 1\n---\nb: 2\n", "mesh.yaml:2:1: a second document begins here; the file must be one"),
        (b"\xff\xfe\x00", "mesh.yaml:1:1: is not UTF-8 text"),
        (b"a: \xc3\xa9\nb: \xc3\xa9\xff\n", "mesh.yaml:2:5: is not UTF-8 text"),
        ("a: \x01\n", "mesh.yaml:1:4: not valid YAML: the character U+0001"),
        ("# \u00e9\n" * 59 + "a: \u00e9\0\n", "mesh.yaml:60:5: not valid YAML: the character U+0000"),
        ("a: \ufffe\n", "mesh.yaml:1:4: not valid YAML: the character U+FFFE"),
        (MESH + "x: " + "[" * 900 + "]" * 900, "mesh.yaml:6:103: nested deeper than 100 levels"),
        (MESH + "x: " + "[" * 200_000, "nested deeper than 100 levels"),
        (MESH + "labels: {a: " + "9" * 6000 + "}\n", "mesh.yaml:6:13: labels.a: expected text"),
        (MESH + "x: &a [*a]\n", "mesh.yaml:6:4: x.0: an alias that contains itself"),
        (MESH + "labels: {a: !!python/object:x y}\n", "mesh.yaml:6:13: labels.a: the tag"),
        (MESH + "labels: {? [a] : b}\n", "a key must be text"),
    ],
)
def test_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    found = problems(tmp_path, monkeypatch, text)
    assert any(says in line for line in found), found


def test_aliases_cannot_expand_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    found = problems(tmp_path, monkeypatch, "\n".join(levels))
    assert sum("expands without end" in line for line in found) >= 1


def test_missing_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DiagnosticsError) as caught:
        load(Path("mesh.yaml"), Path("there/environments.yaml"))
    assert [str(diagnostic) for diagnostic in caught.value.diagnostics] == [
        "mesh.yaml:1:1: no such file; -C says in which folder to look",
        "there/environments.yaml:1:1: no such file; -C says in which folder to look",
    ]


def test_plain_words_are_text_as_in_yaml_1_2(tmp_path: Path) -> None:
    file = tmp_path / "mesh.yaml"
    workload = "{kind: batch, pool: p, image: i, env: {a: on, b: no, c: 12:30, d: 0x1f, e: 2026-11-24}}"
    file.write_text(f"{MESH}workloads:\n  w: {workload}\n", encoding="utf-8")
    assert load_mesh(file).workloads["w"].env == {"a": "on", "b": "no", "c": "12:30", "d": "0x1f", "e": "2026-11-24"}


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "mesh.yaml").write_text(MESH, encoding="utf-8")
    (tmp_path / "environments.yaml").write_text(
        "apiVersion: meshctl/v1\nkind: Environments\nenvironments:\n"
        "  a: {provider: kubernetes, kubernetes: {kubeconfig: ~/.kube/a}}\n"
        "  b: {provider: onprem, kubernetes: {kubeconfig: kube/b, context: b}}\n"
        "  c: {provider: kubernetes}\n"
        "secrets: {token: {file: secrets/token}}\n",
        encoding="utf-8",
    )
    _, environments = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    found = {name: item.kubernetes.kubeconfig for name, item in environments.environments.items()}  # type: ignore[attr-defined]
    assert found == {"a": str(tmp_path / "home/.kube/a"), "b": str(tmp_path / "kube/b"), "c": None}
    assert environments.secret_source("token").file == str(tmp_path / "secrets/token")


def test_an_environment_is_not_called_as_the_stack_of_names_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(tmp_path, monkeypatch, environments=ENVIRONMENTS.replace("  e: {", "  edge: {"))
    assert found == [
        'environments.yaml:4:3: environments.edge: "edge" is where the endpoints\' names are kept; choose another name'
    ]


@pytest.mark.parametrize(
    ("host", "zone", "said"),
    [
        ("chat.example.com", "example.com.", ""),
        ("chat.example.com", "Z0123456", ""),
        ("example.com", "example.com", "is the DNS zone itself"),
        ("chat.badexample.com", "example.com", "is not in the DNS zone example.com"),
        ("chat.example.com", "example.org", "is not in the DNS zone example.org"),
    ],
)
def test_a_host_must_fit_the_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, zone: str, said: str
) -> None:
    mesh = MESH + (
        "workloads:\n  w: {kind: service, pool: p, image: a/b:1, ports: {http: 80}}\n"
        f"endpoints:\n  chat: {{host: {host}, workload: w, port: http}}\n"
    )
    found = problems(tmp_path, monkeypatch, mesh, ENVIRONMENTS + f"dns: {{provider: route53, zone: {zone}}}\n")
    assert len(found) == bool(said)
    for line in found:
        assert line.startswith("mesh.yaml:9:16: endpoints.chat.host: ")
        assert said in line


def test_a_quantity_beyond_all_numbers_is_told_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nines = "9" * 320
    mesh = MESH.replace("{nodes: 1}", f"{{nodes: 1, scratch: {nines}TB}}") + (
        f"storage:\n  s: {{kind: object, size: {nines}TB}}\n"
        "workloads:\n  w: {kind: batch, pool: p, image: i, resources: {cpu: 1e400}}\n"
    )
    environments = ENVIRONMENTS.replace("{provider: aws,", f"{{provider: aws, prices: {{a: {nines} USD/h}},")
    found = problems(tmp_path, monkeypatch, mesh, environments + "dns: {provider: route53, zone: Z1, ttl: 0.4s}\n")
    assert [line.partition(": ")[0] for line in found] == [
        "environments.yaml:4:34",
        "environments.yaml:5:41",
        "mesh.yaml:5:26",
        "mesh.yaml:7:27",
        "mesh.yaml:9:56",
    ]
    assert all("is more than it can be" in line for line in found if "ttl" not in line)
    assert max(map(len, found)) < 200


def test_a_number_is_written_with_ascii_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(tmp_path, monkeypatch, MESH.replace("nodes: 1", "nodes: 1\u0663"))
    assert "expected a whole number" in line


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease", "kube-flannel"])
def test_a_mesh_is_not_called_as_a_namespace_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (line,) = problems(tmp_path, monkeypatch, MESH.replace("name: m", f"name: {name}"))
    assert line == f'mesh.yaml:3:7: name: "{name}" is a namespace of the cluster\'s own; choose another name'


def test_a_mesh_is_not_called_as_priorities_of_the_system_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("system", "system-a"):
        (line,) = problems(tmp_path, monkeypatch, MESH.replace("name: m", f"name: {name}"))
        assert "priority classes" in line
    assert problems(tmp_path, monkeypatch, MESH.replace("name: m", "name: systems")) == []


def test_a_workload_is_not_called_as_the_service_account_of_a_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = "workloads:\n  default: {kind: batch, pool: p, image: i}\n"
    (line,) = problems(tmp_path, monkeypatch, MESH + workload)
    assert line.startswith("mesh.yaml:7:3: workloads.default: ")
    assert "service account" in line


@pytest.mark.parametrize(
    ("written", "got"),
    [("awss", '"awss"; did you mean "aws"?'), ("~", "nothing"), ("[aws]", "a list"), ("1", "1"), ('""', '""')],
)
def test_an_unknown_provider_is_told_at_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, got: str
) -> None:
    environments = ENVIRONMENTS.replace("  e: {provider: aws,", f"  e:\n   {{provider: {written},")
    assert problems(tmp_path, monkeypatch, environments=environments) == [
        f"environments.yaml:5:{15 if written != '[aws]' else 5}: environments.e.provider: "
        f"expected one of aws, coreweave, kubernetes, onprem; got {got}"
    ]


def test_nothing_is_not_taken_for_a_word_that_looks_like_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(tmp_path, monkeypatch, MESH.replace("nodes: 1", "nodes: 1, role: ~"))
    assert line.endswith("expected one of training, inference, analytics, general; got nothing")


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("./state", '"./state" is not a URL; write a folder as "file://./state"'),
        ("/tmp/st", '"/tmp/st" is not a URL; write a folder as "file:///tmp/st"'),  # noqa: S108
        ("s4://b", '"s4://b": expected file://, s3://, gs://, azblob:// or https:// (Pulumi Cloud)'),
        ("s3://", '"s3://" names no bucket, folder or host'),
        ("file://./state", ""),
        ("file:///srv/state?no_tmp_dir=true", ""),
        ("s3://bucket/prefix?region=us-east-1", ""),
        ("gs://bucket", ""),
        ("azblob://container", ""),
        ("https://api.pulumi.com", ""),
        ("http://pulumi.internal:8080", ""),
    ],
)
def test_a_state_backend_is_a_url_of_a_known_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, says: str
) -> None:
    found = problems(tmp_path, monkeypatch, environments=f"{ENVIRONMENTS}state: {{backend: '{backend}'}}\n")
    assert found == ([f"environments.yaml:5:18: state.backend: {says}"] if says else [])


WORKLOADS = "workloads:\n  w:\n    {kind: service, pool: p, image: i, ports: {http: 80}, %s}\n"


_AT = "workloads.w.health"
# what users of other tools write, and the one line that says what to write here: its column, key and message
PORT_BY_NUMBER = "expected the name of one of the workload's ports, got 80; write the name that `ports` gives it"
HEALTH = [
    ("{tcp: http}", f'59: {_AT}: unknown key "tcp"; write {{port: http, protocol: tcp}}'),
    ("{grpc: http}", f'59: {_AT}: unknown key "grpc"; write {{port: http, protocol: grpc}}'),
    ("/health", f'67: {_AT}: expected a mapping, got "/health"; write {{port: NAME, path: /health}}'),
    ("http", f'67: {_AT}: expected a mapping, got "http"; write {{port: http}}'),
    (
        "{httpGet: {path: /ok, port: http, scheme: HTTPS}}",
        f'59: {_AT}: unknown key "httpGet"; write {{port: http, path: /ok, protocol: https}}',
    ),
    ("{tcpSocket: {port: 80}}", f'59: {_AT}: unknown key "tcpSocket"; write {{port: NAME}}'),
    ("{port: http, path: /, scheme: HTTPS}", f'59: {_AT}: unknown key "scheme"; write `protocol: https`'),
    (
        "{port: http, failureThreshold: 90}",
        f'59: {_AT}: unknown key "failureThreshold"; meshctl sets the times between checks itself; '
        "`startup: 2h` says how long a start may take",
    ),
    (
        "{port: http, exec: {command: [a]}}",
        f'59: {_AT}: unknown key "exec"; a command can\'t be asked for health; name a port: {{port: NAME}}, with '
        "`path` if it speaks HTTP",
    ),
    (
        "{port: http, protocol: udp}",
        f'90: {_AT}.protocol: expected one of http, https, grpc, tcp; got "udp"',
    ),
    (
        "{port: http, protocol: tcp, path: /}",
        f'101: {_AT}.path: "path" is only for http and https: with tcp a connection counts; leave it or the protocol '
        "out",
    ),
    (
        "{port: http, protocol: grpc, live: /}",
        f'102: {_AT}.live: "live" is only for http and https: by gRPC the standard health service is asked; leave it '
        "out",
    ),
    ("{port: http, live: /l}", f'86: {_AT}.live: needs a "path" beside it, which says when requests may come'),
    *(
        (
            f"{{port: http, protocol: {protocol}}}",
            f'90: {_AT}.protocol: "protocol: {protocol}" needs a "path"; for a connection leave the protocol out',
        )
        for protocol in ("http", "https")
    ),
    ("{port: http, startup: 48h}", f'89: {_AT}.startup: "48h" is more than a start may take: at most 24h'),
    (
        "{port: http, startup: 2 hours}",
        f'89: {_AT}.startup: unknown unit "hours" in "2 hours"; write it like 2h or 90m',
    ),
    ("{port: http, startup: 7200}", f"89: {_AT}.startup: 7200 has no unit; write it like 2h or 90m"),
    ("{port: http, path: health}", f'86: {_AT}.path: "health" does not begin with "/"; write it like /health'),
]


@pytest.mark.parametrize(
    ("mesh", "says"),
    [
        (
            MESH.replace("nodes: 1", "nodes: 0"),
            "5:14: pools.p.nodes: must be at least 1, got 0; a pool that may be empty has {min: 0, max: N}",
        ),
        (
            MESH.replace("nodes: 1", "nodes: -1"),
            "5:14: pools.p.nodes: must be at least 1, got -1; a pool that may be empty has {min: 0, max: N}",
        ),
        (
            MESH + WORKLOADS % "health: {path: /, port: 80}",
            f"8:83: workloads.w.health.port: {PORT_BY_NUMBER}",
        ),
        *((MESH + WORKLOADS % f"health: {health}", f"8:{says}") for health, says in HEALTH),
        (
            MESH + WORKLOADS % "replicas: 1" + "endpoints:\n  e: {host: a.example.com, workload: w, port: 80}\n",
            f"10:47: endpoints.e.port: {PORT_BY_NUMBER}",
        ),
        (MESH + "labels: {a: !!binary aGk=}\n", '6:13: labels.a: the tag "tag:yaml.org,2002:binary" is not used here'),
        (MESH + WORKLOADS % 'env: {A: "x\\0y"}', "8:68: workloads.w.env.A: can't hold a NUL character"),
        (MESH + WORKLOADS % 'args: ["\\0"]', "8:66: workloads.w.args.0: can't hold a NUL character"),
        (MESH + WORKLOADS % 'command: ["a\\0"]', "8:69: workloads.w.command.0: can't hold a NUL character"),
        *(
            (
                MESH.replace("nodes: 1", f"nodes: 1, accelerator: {{count: 1, model: {model}}}"),
                f'5:48: pools.p.accelerator.model: "{model.strip(QUOTE)}" names no model; write it like H100',
            )
            for model in ('"-"', "NVIDIA", "nvidia tesla", "AMD Instinct", "80GB", "NVIDIA-80GB")
        ),
    ],
)
def test_one_fault_is_one_line_that_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mesh: str, says: str
) -> None:
    assert problems(tmp_path, monkeypatch, mesh) == [f"mesh.yaml:{says}"]


@pytest.mark.parametrize("model", ["H100", "NVIDIA H100", "h100-80GB", "Vera Rubin", "RTX PRO 6000", "Tesla T4"])
def test_models_of_accelerators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    mesh = MESH.replace("nodes: 1", f"nodes: 1, accelerator: {{model: {model}, count: 1}}")
    assert problems(tmp_path, monkeypatch, mesh) == []


@pytest.mark.parametrize(
    ("account", "says"),
    [
        ("12", 'write it in quotes: "000000000012" (as a number it could lose its zeros)'),
        ("true", "expected an AWS account's twelve digits, in quotes"),
        ("-5", "expected an AWS account's twelve digits, in quotes"),
        ("1234567890123", "expected an AWS account's twelve digits, in quotes"),
        ("[1]", "expected an AWS account's twelve digits, in quotes"),
    ],
)
def test_what_is_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str, says: str) -> None:
    environments = ENVIRONMENTS.replace("{provider: aws,", f"{{provider: aws, account: {account},")
    (line,) = problems(tmp_path, monkeypatch, environments=environments)
    assert line.endswith(f"environments.e.account: {says}")
