"""CloudWatch Logs: log groups. Source: CloudWatch Logs API reference, API version 2014-03-28. PURE.

A service makes its group by itself where there is none, without an end to what it keeps. So a group that is there
already is taken over: its name says whose logs it has.
"""

from __future__ import annotations

from providers.aws.rows_engine.row import Adopt, Call, Row, Setting, Tags

TAKEN = ("ResourceAlreadyExistsException",)
BUSY = ("OperationAbortedException",)

LOG_GROUP = Row(
    "meshaws:logs:LogGroup",
    "logs",
    "CloudWatch Logs API CreateLogGroup",
    create=Call("CreateLogGroup", forward=True, tolerate=TAKEN, transient=BUSY),
    id="inputs.logGroupName",
    read=Call(
        "DescribeLogGroups", {"logGroupNamePrefix": "id"}, path="logGroups[?logGroupName==${id}] | [0]", paginate=True
    ),
    delete=Call("DeleteLogGroup", {"logGroupName": "id"}, tolerate=("ResourceNotFoundException",), transient=BUSY),
    adopt=Adopt(by="upsert"),
    settings=(
        Setting(
            ("retentionInDays",),
            (
                Call(
                    "PutRetentionPolicy",
                    {"logGroupName": "id", "retentionInDays": "inputs.retentionInDays"},
                    transient=BUSY,
                ),
            ),
            clear=Call("DeleteRetentionPolicy", {"logGroupName": "id"}, transient=BUSY),
            on_create=True,
        ),
    ),
    tags=Tags(
        get=Call("ListTagsForResource", {"resourceArn": "outputs.logGroupArn"}, path="tags"),
        put=Call("TagResource", {"resourceArn": "outputs.logGroupArn", "tags": "put_tags"}),
        remove=Call("UntagResource", {"resourceArn": "outputs.logGroupArn", "tagKeys": "gone_tag_keys"}),
    ),
    noise=("storedBytes", "metricFilterCount"),
)

ROWS: tuple[Row, ...] = (LOG_GROUP,)
