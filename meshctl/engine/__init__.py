"""Everything about Pulumi: its program, its events, its state, and recovery after a crash. EDGE.

Called by `meshctl.dns` and `meshctl.deploy`, which decide what is run. Below it are the stacks (what is declared) and
`meshctl.changes` (steps and changes in the mesh's terms).
"""
