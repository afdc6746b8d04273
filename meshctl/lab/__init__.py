"""The lab: a local twin of every environment, as ordinary processes on loopback. EDGE.

Called by `meshctl.cli.lab` and by tests. `up` starts the parts in order: the AWS API (`aws`), one Kubernetes control
plane for each environment (`clusters`), the object stores (`stores`), the platforms' controllers (`controllers`), load
balancers and DNS (`network`), the pod runner (`pods`). Nothing in the product knows of it: it is reached by the
endpoints, kubeconfigs and credentials that `environment` writes.
"""
