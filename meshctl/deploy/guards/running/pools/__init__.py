"""Pools that are up stay as they came up: their zones, machines, reservations, releases and set-up. PURE."""
