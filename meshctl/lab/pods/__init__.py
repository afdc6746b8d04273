"""Pods that run as real processes on this machine: `python -m meshctl.lab.pods --lab ROOT`. EDGE.

Started by `lab up`. `runner` watches the pods of every cluster, `lifecycle` plays one pod, `container` one container,
`launch` gives the process its own view of the file system. `meshctl.lab.network` reads the address table kept here.
"""
