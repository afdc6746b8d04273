"""The stand-in for the official Pulumi plugin `kubernetes`, for sites where that plugin can't be had.

Run as `python -m providers.kubernetes`. Layers, top to bottom: `provider` (the operations) > `apply`, `waiting` (what
is asked of the API server) > `api` (its verbs) > `connection` (HTTP), `kubeconfig` > `config`, `checking`, `diffing`,
`readiness`, `objects` (PURE).
"""
