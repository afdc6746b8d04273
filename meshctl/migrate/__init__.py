"""Moves a deployment, its data and its traffic from one environment to another.

`migration` is what the CLI calls; `plan` (PURE) decides, `phases`, `rollback` and `finish` list the steps, `run` takes
them one by one with the `journal`; all that is outside is behind the `World` protocol of `world`.
"""
