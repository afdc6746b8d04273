"""Machine types of the catalog: which one a pool gets, what it costs, and why not the others. PURE."""
