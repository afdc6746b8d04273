"""What the sections of the users' files are made of, and the values that several of them share. PURE.

Used by `meshctl.model.mesh`, `meshctl.model.keys.blueprints` and `meshctl.model.environment`.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from meshctl.model.files.key_values import Count
from meshctl.model.keys import scaling


class Section(BaseModel):
    """A mapping of a user's file: frozen, camelCase in files, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


# of a key that takes a number, or `{min: 1, max: 4}`
NUMBER_OR_RANGE: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {
                "type": "object",
                "properties": {"min": {"type": "integer", "minimum": 0}, "max": {"type": "integer", "minimum": 1}},
                "required": ["min", "max"],
                "additionalProperties": False,
            },
        ]
    }
)


class ReplicaRange(Section):
    """Of what serves: load moves the number between both."""

    min: Annotated[int, Field(strict=True, ge=0)]  # 0: see `scaling.sleep_problems`
    max: Count


Replicas = Annotated[ReplicaRange, BeforeValidator(scaling.replica_range), NUMBER_OR_RANGE]
