"""Engine events -> changes in mesh terms -> human text or JSON. PURE.

Called by `meshctl.cli` with the steps that `meshctl.engine` collected. `steps` holds the plain form of an engine event,
`fields` gives its properties names, `grouping` makes a `Plan` of them, `human` and `document`
show it. Nothing here prints.
"""

from meshctl.changes.field_change import FieldChange
from meshctl.changes.grouping import Change, Plan, ResourceChange, group
from meshctl.changes.human import done_text, plan_text
from meshctl.changes.steps import PropertyChange, Step, subject_of

__all__ = [
    "Change",
    "FieldChange",
    "Plan",
    "PropertyChange",
    "ResourceChange",
    "Step",
    "done_text",
    "group",
    "plan_text",
    "subject_of",
]
