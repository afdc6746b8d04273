"""An environment on AWS: network, EKS cluster, pools as managed node groups, storage; then the Kubernetes layer on
top.

`declare` is run by `meshctl.deploy.session` inside a Pulumi inline program. Facts (what EKS, FSx, EFA want) are from
the sources in `providers/aws/rows`.
"""

from stacks.aws.program import declare

__all__ = ["declare"]
