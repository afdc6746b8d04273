"""What `plan`, `up` and `destroy` mean for one environment: plans, guards, secrets, and what they say. EDGE.

Called by `meshctl.cli`, `meshctl.operate` and `meshctl.migrate`, through `session.Session`. Below it are
`meshctl.engine`, which runs Pulumi, and `meshctl.dns`.
"""
