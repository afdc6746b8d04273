"""What a plan says of a change beside its fields: what it stops, replaces or leaves behind. PURE.

Called by `meshctl.changes.grouping`, and by `meshctl.deploy.runs` where a plan is put together.
"""
