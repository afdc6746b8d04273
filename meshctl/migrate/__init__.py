"""Moves a deployment, its data and its traffic from one environment to another.

`migration` is what the CLI calls; `planning` decides (PURE), `journal` holds what was done, `steps` lists the steps and
takes them one by one, `views` shows all of it (PURE); all that is outside is behind the `World` protocol of `world`.
"""
