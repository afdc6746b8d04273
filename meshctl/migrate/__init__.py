"""Moves a deployment, its data and its traffic from one environment to another.

The CLI calls `migration`. `planning` makes the plan (PURE), `journal` records what was intended and done, `steps` lists
the steps and runs them one by one, and `views` formats plans and migrations for users (PURE). Environments, clusters,
object stores, DNS and the clock are behind the protocol `gateway.Gateway`.
"""
