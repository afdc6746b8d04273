"""Every error that a user can get. Raised anywhere below the CLI; `cli.main` prints it and exits with its code.

    MeshError                      code        exit
      DiagnosticsError             invalid       65   a list of Diagnostic: bad mesh, bad environments
      InfeasibleError              infeasible    65   a valid mesh that an environment can't carry
      UsageError                   usage         64
      ToolError                    tool           1   an external program is missing, broken or failed to build
      CredentialsError             credentials    1   no credentials, or expired ones
      UnreachableError             unreachable    1   an API that doesn't answer (never read as "deleted")
      BusyError                    busy           1   an API that answers "not now": throttled, or a fault of its own
      FileError                    file           1   a file or folder that can't be read or written, a full disk
      ForeignOutputError           foreign-output 65  a benchmark's output that is damaged, cut off, or foreign
      EngineError                  engine         1   the Pulumi engine failed as a whole
        ResourcesFailedError       resources      3   some resources failed; the others are up, state is kept
      MeasurementError             measurement    3   a Job that measures failed, or has measured too little
      NotReadyError                not-ready      3   created, but not getting ready (claim, image, crash loop)
      OwnedFieldsError           owned-fields    1   other programs have set fields that the mesh sets otherwise
        JobsFailedError            job-failed     3   a job of the mesh has failed and will not be tried again
      StalePlanError               stale-plan     1   `up --plan` of a plan that no longer holds
      NewerVersionError            newer-version  1   a state, plan or journal that a newer meshctl made
      UnreadableError              unreadable     1   a state, plan or journal that is damaged
      ProtectedDataError           protected      1   destroy would lose data
      LockedError                  locked        75   someone else works on it
      MigrationError               migration      3   a step failed at a safe point; names the next command
        AmbiguousStepError         ambiguous      3   can't tell whether an interrupted step took effect
        ParityError                parity         3   source and target differ; the cutover is refused
        StoppedByFieldsError       migration       3   a step was refused for what other programs have set
      ShiftError                   shift           3   a step of a shift failed at a safe point; names the next command
      LabError                     lab            1
      InterruptedByUserError       interrupted  130

Each carries `what` (one line), `why` (one line, may be empty) and `hint` (the next command or change, may be empty).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from meshctl.printable import one_line
from meshctl.words import pluralize


class MeshError(Exception):
    """Root of the tree. `code` is stable and appears in JSON output; `exit_code` is the process's."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint


@dataclass(frozen=True, order=True)
class Diagnostic:
    """One problem in a user's file. `line` and `column` count from 1; `path` is dotted (`pools.train.fabric`)."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return one_line(f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}")


class DiagnosticsError(MeshError):
    """All problems in the user's files, in file order."""

    code = "invalid"
    exit_code = 65

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{pluralize(count, 'problem')} in {', '.join(sorted({d.file for d in diagnostics}))}")
        self.diagnostics = sorted(diagnostics)


class InfeasibleError(MeshError):
    """A valid mesh that the environment can't carry. `gaps` are `meshctl.model.deployment.Gap` values."""

    code = "infeasible"
    exit_code = 65

    def __init__(self, what: str, *, gaps: tuple[object, ...], why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.gaps = gaps


class UsageError(MeshError):
    code = "usage"
    exit_code = 64


class ToolError(MeshError):
    code = "tool"


class CredentialsError(MeshError):
    code = "credentials"


class UnreachableError(MeshError):
    code = "unreachable"


class BusyError(MeshError):
    """The API is reachable but busy: the same call may succeed a little later."""

    code = "busy"


class PlatformError(MeshError):
    code = "platform"


class FileError(MeshError):
    code = "file"


class ForeignOutputError(MeshError):
    """A file of another program that isn't what it should be."""

    code = "foreign-output"
    exit_code = 65


class EngineError(MeshError):
    code = "engine"


@dataclass(frozen=True)
class ResourceFailure:
    """One resource that failed: `subject` in mesh terms, `code` the API's own error code where there is one."""

    subject: str
    urn: str
    message: str
    code: str = ""
    hint: str = ""


class ResourcesFailedError(EngineError):
    """Some resources failed; what was made is in the state and the next `up` goes on from there."""

    code = "resources"
    exit_code = 3

    def __init__(self, what: str, *, failures: list[ResourceFailure], why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.failures = failures


class NoCapacityError(ResourcesFailedError):
    """The platform has no machines at the moment for some pools; all that does not need them is up.

    `retry_in_s`: when another try is worth while, where that is known.
    """

    code = "no-capacity"

    def __init__(
        self,
        what: str,
        *,
        failures: list[ResourceFailure],
        why: str = "",
        hint: str = "",
        retry_in_s: float | None = None,
    ) -> None:
        super().__init__(what, failures=failures, why=why, hint=hint)
        self.retry_in_s = retry_in_s


@dataclass(frozen=True)
class OwnedField:
    """A field of a Kubernetes object that another program has set. `name` is what `--take-over` takes, `where` the same
    for a person; values as text."""

    name: str
    where: str
    owner: str
    live: str
    wanted: str


class OwnedFieldsError(MeshError):
    """Nothing was done: the user decides which value a field gets."""

    code = "owned-fields"

    def __init__(self, what: str, *, fields: list[OwnedField], why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.fields = fields


class MeasurementError(MeshError):
    """A measurement in a cluster that did not start or failed, or that found less than the mesh asks for."""

    code = "measurement"
    exit_code = 3


class NotReadyError(MeshError):
    code = "not-ready"
    exit_code = 3


class JobsFailedError(NotReadyError):
    """Jobs of the mesh have used up their retries; everything else is done."""

    code = "job-failed"


class StalePlanError(MeshError):
    code = "stale-plan"


class NewerVersionError(MeshError):
    """A state, a saved plan or a journal of a newer version of meshctl. It was not changed."""

    code = "newer-version"


class UnreadableError(MeshError):
    """A damaged state or journal, which no version of meshctl has written like this. It was not changed."""

    code = "unreadable"


class ProtectedDataError(MeshError):
    code = "protected"


class LockedError(MeshError):
    code = "locked"
    exit_code = 75


class MigrationError(MeshError):
    code = "migration"
    exit_code = 3


class AmbiguousStepError(MigrationError):
    code = "ambiguous"


class ParityError(MigrationError):
    code = "parity"


class StoppedByFieldsError(MigrationError):
    """A step was refused as OwnedFieldsError says, with the same fields: the migration stopped at a safe point."""

    def __init__(self, what: str, *, fields: list[OwnedField], why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.fields = fields


class ShiftError(MeshError):
    code = "shift"
    exit_code = 3


class LabError(MeshError):
    code = "lab"


class InterruptedByUserError(MeshError):
    code = "interrupted"
    exit_code = 130
