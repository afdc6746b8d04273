"""Workloads and endpoints in an environment: how they run here, what forbids it, and what to know of it. PURE."""
