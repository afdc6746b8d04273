"""Blueprints: a few lines of a mesh that become ordinary workloads, storage and endpoints. PURE.

`expansion` is called by `meshctl.load` before a mesh is validated, so everything after it knows workloads alone;
`offer` and `shown` are for `meshctl blueprint`. One module for each kind: `serve`, `train`, `notebook`, `rag`.
"""
