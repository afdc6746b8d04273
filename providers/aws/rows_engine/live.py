"""One object as the API tells it: description, tags, inputs as they are now, waiting for a state. Called by `crud`,
`adopt`. EDGE.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jmespath  # type: ignore[import-untyped]
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

from meshwire.marks import OWNER_TAG
from providers.aws.rows_engine.calls import (
    CALL_ERRORS,
    NO_RIGHT,
    Caller,
    Cancelled,
    Clients,
    call_error,
    evaluate,
    matches,
)
from providers.aws.rows_engine.checks import input_names
from providers.aws.rows_engine.compare import observed, observed_tags, tag_map
from providers.aws.rows_engine.row import SEPARATOR, Call, Poll, Row, Setting
from providers.plugin.provider import ProviderError
from providers.plugin.values import Properties

FIRST_POLL_S = 0.2
POLL_GROWTH = 1.25  # what takes less than a minute is seen at most a quarter later than it happens
SEEN_AFTER_S = 30.0  # what was made a moment ago may not be described yet
NOT_IMPLEMENTED = ("NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "UnsupportedOperation")
EXISTS = Poll("'there'", ok=("there",), every_s=2, timeout_s=SEEN_AFTER_S)


def owner_of(urn: str) -> str:
    """The owner tag's value: the URN in the letters that every service takes, at most 256 of them."""
    text = re.sub(r"[^\w.:/=+\-@ ]", "/", urn, flags=re.ASCII)
    if len(text) <= 256:
        return text
    return f"{text[:215]}-{hashlib.sha256(urn.encode()).hexdigest()[:40]}"


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def id_inputs(row: Row) -> list[str]:
    """The inputs that the parts of an id are, in order; empty names for parts that are none."""
    joined = re.fullmatch(r"join\('\|', \[(.*)\]\)", row.id)
    parts = joined[1].split(", ") if joined else [row.id]
    return [match[1] if (match := re.fullmatch(r"inputs\.(\w+)", part)) else "" for part in parts]


def find(path: str, description: Any) -> Any:
    """What a path leads to; nothing where a function meets a null."""
    try:
        return jmespath.search(path, description) if path else None
    except JMESPathError:
        return None


@dataclass(frozen=True)
class Tally:
    """How many there are of what a description is to have (see `Count`)."""

    number: int
    needed: int
    noun: str

    @property
    def is_short(self) -> bool:
        return self.number < self.needed

    def __str__(self) -> str:
        return f"{self.number} of {self.needed} {self.noun}"


class Live:
    """The live side of one resource. `deadline`: a monotonic time that bounds every wait, or None for the row's own
    limits.
    """

    def __init__(
        self,
        row: Row,
        clients: Clients,
        *,
        owner: str,
        caller: Caller,
        say: Callable[[str], None],
        deadline: float | None,
    ) -> None:
        self.row = row
        self.clients = clients
        self.model = clients.model(row.service)
        self.owner = owner
        self.caller = caller
        self.say = say
        self.deadline = deadline

    @property
    def noun(self) -> str:
        return self.row.token.rsplit(":", 1)[-1]

    def context(self, id: str, inputs: Properties) -> dict[str, Any]:  # noqa: A002
        """The context of the row's calls (see `row`)."""
        tags = {**(inputs.get("Tags") or {}), OWNER_TAG: self.owner}
        context: dict[str, Any] = {
            "id": id,
            "parts": id.split(SEPARATOR),
            "inputs": inputs,
            "old_inputs": {},
            "outputs": {},
            "before": {},
            "answer": {},
            "owner": self.owner,
            "region": self.clients.region,
            "tags": tags,
            "tag_list": tag_list(tags),
        }
        for name, param in self.row.derived.items():
            context[name] = evaluate(param, context) if inputs else None
        return context

    def run(self, call: Call, context: dict[str, Any], *, retries: bool = True) -> Any:
        return self.caller.run(self.row.service, call, context, retries=retries)

    def describe(self, context: dict[str, Any]) -> Any:
        """The description, or None where the API says "not found" (and only there)."""
        try:
            description = self.run(self.row.read, context)
        except ProviderError as error:
            if matches(error, self.row.not_found):
                return None
            raise
        return None if description is None or self.is_gone(description) else description

    def is_gone(self, description: Any) -> bool:
        gone = self.row.gone
        if gone is None or not isinstance(description, dict):
            return False
        return str(find(gone.state, description) or "").lower() in {ok.lower() for ok in gone.ok}

    def tags(self, context: dict[str, Any], description: Properties) -> dict[str, str]:
        tags = self.row.tags
        if tags is None:
            return {}
        if tags.get is None:
            return tag_map(find(tags.path, description))
        try:
            return tag_map(self.run(tags.get, context))
        except ProviderError as error:
            if matches(error, tags.unset) or (tags.optional and matches(error, NOT_IMPLEMENTED)):
                return {}
            raise

    # ---- inputs as they are now ------------------------------------------------------------------------------------

    def inputs_now(self, context: dict[str, Any], description: Properties) -> Properties:
        """The given inputs with their live values; what was unset meanwhile is left out."""
        getters = {setting.inputs[0]: setting for setting in self.row.settings if setting.get is not None}
        now: Properties = {}
        for name, value in context["inputs"].items():
            if name == "Tags" and self.row.tags is not None:
                tags = self.tags(context, description)
                now[name] = observed_tags(tags, value) if tags or not self.row.tags.optional else value
            elif name in getters:
                live = self._setting_now(getters[name], context)
                if live is not None:
                    now[name] = observed(live, value)
            else:
                now[name] = self.observe(name, description, value)
        return now

    def _setting_now(self, setting: Setting, context: dict[str, Any]) -> Any:
        if setting.get is None:
            return None
        try:
            return self.run(setting.get, context)
        except ProviderError as error:
            if matches(error, setting.unset):
                return None
            if setting.optional and matches(error, NOT_IMPLEMENTED):
                return context["inputs"][setting.inputs[0]]
            raise

    def observe(self, name: str, description: Properties, value: Any) -> Any:
        if name in self.row.opaque:
            return value
        live = self._described(name, description)
        return value if live is None else observed(live, value)

    def _described(self, name: str, description: Properties) -> Any:
        return find(self.row.observe[name], description) if name in self.row.observe else description.get(name)

    def inputs_of_import(self, context: dict[str, Any], description: Properties) -> Properties:
        """What the create call needs at least; the program says the rest, compared with the description then."""
        needed = self.model.operation_model(self.row.create.operation).input_shape.required_members
        taken = input_names(self.row, self.model)
        names = [*(name for name in needed if name in taken), *self.row.required]
        values = {name: self._described(name, description) for name in names}
        from_id = dict(zip(id_inputs(self.row), context["parts"], strict=False))
        return {name: value for name, value in (values | from_id).items() if name and value is not None}

    # ---- waits -----------------------------------------------------------------------------------------------------

    def poll(
        self, poll: Poll, context: dict[str, Any], *, gone: bool = False, at_rest: bool = False, counted: bool = True
    ) -> Any:
        """Waits for a state of `poll.ok` and returns the description; with `gone`, "not found" is the aim; with
        `at_rest`, any state of `poll.lacking` is as good. Without `counted`, a number that is not reached is as good
        as one that is: nobody asked for more.

        Raises:
            ProviderError: a state of `poll.fail` (with the API's own code and reason), `poll.late_code`, Interrupted,
                NotFound.
        """
        started = time.monotonic()
        limit = self.deadline or started + poll.timeout_s
        every_s = FIRST_POLL_S
        what = f"{self.noun} {context['id']}"
        while True:
            description = self.run(poll.call, context) if poll.call else self.describe(context)
            state = str(find(poll.state, description) or "")
            tally = self._tally_at_rest(poll, description, state) if counted else None
            is_short = (tally.is_short if tally is not None else None) if counted else False
            if self._reached(poll, description, state, gone=gone, is_short=is_short):
                return description
            is_lacking = state.lower() in {lacking.lower() for lacking in poll.lacking}
            if is_lacking and (at_rest or self._stays_lacking(poll, context, description)):
                return description
            waited_s = time.monotonic() - started
            if description is None and waited_s > SEEN_AFTER_S:
                raise ProviderError("NotFound", f"{what} isn't there")
            if time.monotonic() > limit:
                reason = f"{what} is still {state or 'there'} after {waited_s:.0f} s"
                raise ProviderError(poll.late_code, "; ".join([reason, *_missing(poll, description, tally)]))
            numbers = f", {tally}" if tally is not None else ""
            self.say(f"waiting for {what}: {state or '…'}{numbers} ({waited_s:.0f} s)")
            self.caller.pause(min(every_s, max(limit - time.monotonic(), 0.1)), what)
            every_s = min(every_s * POLL_GROWTH, poll.every_s)

    def _stays_lacking(self, poll: Poll, context: dict[str, Any], description: Any) -> bool:
        """Whether something is missing that does not come by itself; taken to be so without the right to look."""
        if poll.comes is None:
            return True
        try:
            return not poll.comes(self.clients.client(self.row.service), context | {"outputs": description})
        except CALL_ERRORS as error:
            refusal = call_error(error, f"looking at what {self.noun} {context['id']} lacks")
            self.say(refusal.message)
            return matches(refusal, NO_RIGHT)  # whatever else the API says passes by itself

    def _reached(self, poll: Poll, description: Any, state: str, *, gone: bool, is_short: bool | None) -> bool:
        if description is None:
            return gone
        if state.lower() in {ok.lower() for ok in poll.ok}:
            return all(find(path, description) for path in poll.has) and not is_short
        if state.lower() in {fail.lower() for fail in poll.fail}:
            if poll.enough and find(poll.enough, description):
                return True
            if self.lacks_only_numbers(poll, description) and is_short is False:
                return True
            code = find(poll.code, description) or state
            reason = find(poll.reason, description) or f"its state is {state}"
            raise ProviderError(str(code), f"{self.noun} {state}: {reason}")
        return False

    @staticmethod
    def lacks_only_numbers(poll: Poll, description: Any) -> bool:
        """Whether its state says no more than that a number was not reached, now or some time ago."""
        return poll.count is not None and bool(find(poll.count.overrules, description))

    def is_growing(self, description: Properties, outputs: Properties) -> bool:
        """Whether it lacks some of what it was to get after `outputs` were written: a run asked for more and did not
        see it come. One that lacks a node for another reason (a spot node that EC2 took back) has nothing unfinished.
        """
        poll = self.row.ready
        if poll is None or not self.lacks_only_numbers(poll, description):
            return False
        tally = self._tally(poll, description) if self.needs_more(description, outputs) else None
        return tally is not None and tally.is_short

    def needs_more(self, news: Properties, *before: Properties) -> bool:
        """Whether there must be more by `news` than by one of `before` (inputs or descriptions) that has a number."""
        count = self.row.ready.count if self.row.ready is not None else None
        if count is None:
            return False
        needed = find(count.needed, news)
        numbers = [number for one in before if (number := find(count.needed, one)) is not None]
        return needed is not None and any(needed > number for number in numbers)

    def _tally_at_rest(self, poll: Poll, description: Any, state: str) -> Tally | None:
        """The tally where it decides: the state is reached, or says no more than that a number is not."""
        is_reached = state.lower() in {ok.lower() for ok in poll.ok}
        decides = is_reached or self.lacks_only_numbers(poll, description)
        return self._tally(poll, description) if decides else None

    def _tally(self, poll: Poll, description: Any) -> Tally | None:
        """How many there are of how many that there must be; None where nobody tells."""
        count = poll.count
        if count is None or not description:
            return None
        context = {"answer": description, "region": self.clients.region}
        if not all(evaluate(param, context) for param in count.params.values()):
            return None
        try:
            answer = self.caller.run(count.service, Call(count.operation, count.params), context)
        except Cancelled:
            raise
        except ProviderError as error:
            self.say(f"{count.operation} was refused ({error.code}): the state alone counts")
            return None
        number, needed = find(count.number, answer), find(count.needed, description)
        return None if number is None or needed is None else Tally(number, needed, count.noun)


def _missing(poll: Poll, description: Any, tally: Tally | None) -> Iterator[str]:
    """What is missing after too long a wait, and what to do."""
    missing = poll.missing(description) if poll.missing is not None and description else ""
    if missing:
        yield missing
    if tally is not None and tally.is_short:
        yield str(tally)
        if poll.count is not None and poll.count.advice:
            yield poll.count.advice
