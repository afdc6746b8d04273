"""The types of a row: one resource as data over an AWS API. Written in providers.aws.rows, checked by `lint`, run by
`crud`. PURE.

Every `str` parameter and path is a JMESPath expression over the context of a call:

    id, parts     the resource's id, and the id split at `|`          inputs        the new inputs
    outputs       the last known description                          old_inputs    the inputs before this change
    answer        the answer of the call before                       owner         the value of our `meshctl:urn` tag
    tags          {key: value}, the owner's tag included              tag_list      the same as [{Key, Value}]
    region        the configured region, or empty
    before        the description before this update; empty for a create and what it left unfinished
    put_tags, put_tag_list, gone_tag_keys     what changed in the tags

`${expression}` inside a path is replaced by the expression's value as a quoted string. A parameter that evaluates to
null is left out. Where an expression isn't enough, a named function (context) -> value stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Context = Mapping[str, Any]
Param = str | Callable[[Context], Any]
Hook = Callable[[Any, Context], None]  # (botocore client, context): for the little that no call expresses

SEPARATOR = "|"  # between the parts of an id; no AWS name or ARN has it


@dataclass(frozen=True)
class Call:
    """One API operation.

    forward: passes every input that the operation has a member for; `params` come on top.
    path: the part of the answer that matters; empty for the whole answer.
    tolerate: error codes that mean "already so".
    transient: error codes, or `Code:part of the message`, that pass by themselves; retried for `patience_s`.
    paginate: the operation lists; all pages are read.
    failed: path of a {Code, Message} that the answer reports instead of an error.
    when: a path or function; the call is left out where it leads to nothing.
    """

    operation: str
    params: Mapping[str, Param] = field(default_factory=dict)
    path: str = ""
    forward: bool = False
    tolerate: tuple[str, ...] = ()
    transient: tuple[str, ...] = ()
    patience_s: float = 120
    paginate: bool = False
    failed: str = ""
    when: Param = ""


@dataclass(frozen=True)
class Count:
    """How many there are of what a description is to have, as another service tells it: the state alone may be too
    early, or say what is long over.

    service, operation, params: the call that counts; `answer` in its context is the description. number: a path in its
    answer. needed: a path in the description, and in the inputs, to the number that there must be; only an update that
    makes it larger waits for it. overrules: a condition on the description under which a state of `Poll.fail` stands
    for no more than a number that was not reached. Where the call is refused or `number` leads to nothing, the state
    alone counts. noun: what is counted, in the plural. advice: what to do where they do not come, as a sentence.
    """

    service: str
    operation: str
    params: Mapping[str, Param]
    number: str
    needed: str
    overrules: str
    noun: str = "parts"
    advice: str = ""


@dataclass(frozen=True)
class Poll:
    """Waiting for a state. `state`, `code` and `reason` are paths in what `call` (or the row's read) describes.

    States compare without case (EC2's model and answers differ in it). Empty `state`: only "not found" ends the wait.
    `has`: paths that must lead to something, too. `enough`: a condition under which a state of `fail` ends the wait
    well. `count`: what there must be enough of, beside the state. `missing`: what a description lacks, as a sentence
    for who has waited for too long. `late_code`: the code of an error of that kind. `lacking`: states in which nothing
    moves and something is missing; they end the wait well unless `comes` (botocore client, context) says that what is
    missing can come by itself.
    """

    state: str
    ok: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    code: str = ""
    reason: str = ""
    every_s: float = 15
    timeout_s: float = 1200
    call: Call | None = None
    has: tuple[str, ...] = ()
    enough: str = ""
    count: Count | None = None
    missing: Callable[[Any], str] | None = None
    late_code: str = "Timeout"
    lacking: tuple[str, ...] = ()
    comes: Callable[[Any, Context], bool] | None = None


@dataclass(frozen=True)
class Setting:
    """Inputs that can change in place.

    puts: the calls that set them, in order; `wait` comes after each that changes something. clear: unsets when the
    input goes away (without it, the value stays as it is).
    get: reads the (single) input back where the row's description lacks it. unset: codes of `get` that mean "not set".
    on_create: applied after the create call too (the create call can't set it).
    """

    inputs: tuple[str, ...]
    puts: tuple[Call, ...]
    clear: Call | None = None
    get: Call | None = None
    unset: tuple[str, ...] = ()
    on_create: bool = False
    wait: Poll | None = None
    optional: bool = False  # compatible stores may lack it: "not implemented" is tolerated with a warning


@dataclass(frozen=True)
class Updates:
    """Updates of an object that go on by themselves, one at a time: an interrupted run or a person may have begun one.

    state: path of the description; `running`: what it says meanwhile. listed: the call that lists their ids.
    end: waits for the end of one, whose id is `answer.update.id`, whatever its end is. busy: codes with which the API
    refuses a change meanwhile.
    """

    state: str
    running: tuple[str, ...]
    listed: Call
    end: Poll
    busy: tuple[str, ...]


@dataclass(frozen=True)
class Tags:
    """How a resource is tagged. `create`: parameters added to the create call. `path`: tags in the description, or
    `get` reads them.
    """

    create: Mapping[str, Param] = field(default_factory=dict)
    path: str = "Tags"
    get: Call | None = None
    put: Call | None = None
    remove: Call | None = None
    unset: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Adopt:
    """How to tell an object that an interrupted run left behind from someone else's.

    by "tag": `find` lists candidates before create; the one with our owner tag is ours.
    by "name": the create call refuses a taken name (`exists` codes), or `find` looks first; ours only with our owner
    tag, or `proof`.
    by "same": two equal objects can't exist; one with equal inputs is the one wanted, another is a conflict.
    by "upsert": creating twice is the same call twice.
    id: path of the id in what `find` found.
    first: looks before the first create call, not only where that says "exists" or its answer was lost.
    complete: makes what is missing of an object of several parts, before it is taken over.
    common: whether others ask for an equal object too; what is found then stays when the resource is deleted, with the
    inputs `as_found` as they were. See `shared`.
    """

    by: Literal["tag", "name", "same", "upsert"]
    find: Call | None = None
    id: str = ""
    exists: tuple[str, ...] = ()
    proof: Callable[[Any, Context], bool] | None = None
    first: bool = False
    taken: tuple[str, ...] = ()  # codes that mean: exists and isn't even ours to look at
    complete: Hook | None = None
    common: Callable[[Mapping[str, Any]], bool] | None = None
    as_found: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bounded:
    """A number that others may move while the object is up, between two bounds that are ours: `number`, `low` and
    `high` are members of the input `input`. See `bounded`. `fixed_by`: an input with which the number is the
    program's."""

    input: str
    number: str
    low: str
    high: str
    fixed_by: str = ""


@dataclass(frozen=True)
class OneWay:
    """A value that the API lets go one way only. See `one_way`.

    path: the input, or a member of it (`accessConfig.authenticationMode`).
    order: its values in the order that they can be taken; empty for numbers and versions, which grow.
    """

    path: str
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One resource. Inputs are the members of the create operation (minus `hidden`), the settings' inputs and
    `extra_inputs`.

    An input that no setting covers replaces the resource when it changes. `Tags` is always a map {key: value}.

    id: over the context with `answer` = the create call's answer.  read.path: the description; null means "not found".
    created: a wait on the create call's answer, before `ready`.
    delete_reads: the delete call needs the description as it is now, in `answer`.
    ready, gone: the waits after create/update and delete; a description in `gone.ok` counts as "not found" too.
    settle_s: how long a create or an update takes effect after the API calls it done, where nothing tells of it.
    broken: states (of ready.state) in which the resource can only be made anew at the next `up`.
    observe: how to read an input from the description where names differ.  opaque: inputs never read back.
    volatile: outputs that an update changes.  noise: described fields left out of the outputs, since they change by
    themselves.
    fixed: paths inside changeable inputs that replace all the same (`LustreConfiguration.DeploymentType`).
    derived: more names for the context, computed from the rest of it.
    bounded: numbers that stay as others have set them, as long as they are within the bounds that the program gives.
    one_way: values that stay where others have taken them further than the program, since there is no way back.
    updates: those that go on by themselves; a change waits for the end of one that runs, and is then made.
    delete_first: a replacement can't exist beside the old one (names, CIDRs).  computed: outputs not in the
    description's shape.
    hook_operations: the API operations that the row's hooks and functions call by themselves.
    optional_operations: those of them without whose rights a run goes on.
    """

    token: str
    service: str
    source: str
    create: Call
    id: str
    read: Call
    delete: Call
    adopt: Adopt
    not_found: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    extra_inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    tags: Tags | None = None
    created: Poll | None = None
    delete_reads: bool = False
    ready: Poll | None = None
    gone: Poll | None = None
    settle_s: float = 0
    broken: tuple[str, ...] = ()
    before_delete: tuple[Call | Hook, ...] = ()
    observe: Mapping[str, str] = field(default_factory=dict)
    opaque: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    derived: Mapping[str, Param] = field(default_factory=dict)
    bounded: tuple[Bounded, ...] = ()
    one_way: tuple[OneWay, ...] = ()
    updates: Updates | None = None
    delete_first: bool = True
    computed: tuple[str, ...] = ()
    hook_operations: tuple[str, ...] = ()
    optional_operations: tuple[str, ...] = ()

    @property
    def changeable(self) -> frozenset[str]:
        names = {name for setting in self.settings for name in setting.inputs}
        return frozenset(names | ({"Tags"} if self.tags else set()))
