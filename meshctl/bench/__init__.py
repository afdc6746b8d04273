"""Measures an environment, and keeps the results beside the state. EDGE.

`cluster_jobs` runs what measures from inside, `storage` says which file systems that are; `load` sends requests to a
model server at a given rate, `target` says where it is; `result_files` has what was measured before. Called by
`cli.bench` and, for the results, `cli.advise`.
"""
