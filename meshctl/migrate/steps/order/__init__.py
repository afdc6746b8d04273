"""Which steps a migration or an expansion has, in which order: all from its plan and its history. PURE."""
