"""How the stacks of a mesh are run: what every run needs, and the plan and the `up` of an environment. EDGE.

Called by `deploy.session` alone.
"""
