"""The values everything speaks in: what the user wrote (mesh, environment), what was seen (observed), what was
decided (deployment). PURE."""
