"""Every resource of `meshaws`, by service. Read by `provider`; checked by providers.aws.rows_engine.lint. PURE."""

from __future__ import annotations

from providers.aws.rows import (
    acm,
    ec2,
    ec2_compute,
    efs,
    eks,
    eks_access,
    eks_addons,
    fsx,
    iam,
    logs,
    route53,
    s3,
    security_group_rules,
)
from providers.aws.rows_engine.row import Row

ALL: tuple[Row, ...] = (
    *ec2.ROWS,
    *ec2_compute.ROWS,
    *security_group_rules.ROWS,
    *iam.ROWS,
    *eks.ROWS,
    *eks_access.ROWS,
    *eks_addons.ROWS,
    *logs.ROWS,
    *s3.ROWS,
    *fsx.ROWS,
    *efs.ROWS,
    *route53.ROWS,
    *acm.ROWS,
)
