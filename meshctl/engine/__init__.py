"""The edge to the Pulumi engine: preview, up, destroy, outputs, recovery after a crash. EDGE.

Called by `meshctl.cli` and `meshctl.migrate`, through `session.Session`. Below it are the stacks (what is declared) and
`meshctl.changes` (what comes back, in mesh terms).
"""
