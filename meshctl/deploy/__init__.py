"""Deploys one environment: `plan`, `up` and `destroy`, with their guards, secrets, jobs and DNS records. EDGE.

Called by `meshctl.cli`, `meshctl.operate` and `meshctl.migrate`, through `session.Session`. Below it are
`meshctl.engine`, which runs Pulumi, and `meshctl.dns`.
"""
