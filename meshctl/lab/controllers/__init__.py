"""The platforms' controllers, as the lab plays them: nodes for EKS node groups and NodePools, volumes for claims. EDGE.

`python -m meshctl.lab.controllers --lab ROOT`, started by `up`: one process for all clusters, with the EKS token
webhook in it.
"""
