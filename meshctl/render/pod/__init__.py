"""A pod of a workload: its containers, security, volumes, probes, and what environments.yaml puts over it. PURE."""
