"""Endpoints and gateways that are up stay as they came up: who reaches them, and by which nodes. PURE."""
