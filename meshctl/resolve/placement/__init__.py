"""Pools on machines: what fits, what it has left for pods, what it costs, and why the rest was passed over. PURE."""
