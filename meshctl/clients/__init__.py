"""Kubernetes clusters and AWS: how they are reached, and what is read of them. EDGE.

Used by `meshctl.objects`, `meshctl.dns`, `meshctl.deploy`, `meshctl.operate` and `meshctl.migrate`. Nothing is changed
from here: what changes a cluster or an account is declared in stacks.
"""
