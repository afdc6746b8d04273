"""Storage of a mesh in an environment: made, existing, and how much a pod copies before its start. PURE."""
