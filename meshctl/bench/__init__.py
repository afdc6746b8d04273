"""Measures an environment, and keeps the results beside the state. EDGE.

`cluster_jobs` runs what measures from inside: `storage`, `fabric` and `accelerators` say what that is. `load` sends
requests to a model server at a given rate, and `rag` questions; `target` says where they are. `result_files` has what
was measured before. Called by `cli.bench`, for the gate by `cli.up` and, for the results, by `cli.advise`.
"""
