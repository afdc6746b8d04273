"""Single keys of mesh.yaml beyond their type: defaults, what must go together, what follows for pods. PURE."""
