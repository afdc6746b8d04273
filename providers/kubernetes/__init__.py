"""The stand-in for the official Pulumi plugin `kubernetes`, for sites where that plugin can't be had.

Run as `python -m providers.kubernetes`. Layers, top to bottom: `provider` (the operations) > `apply`, `waiting` (calls to the API
server) > `connection`, `discovery` (HTTP) > `config`, `checking`, `diffing`, `readiness`, `objects` (PURE).
"""
