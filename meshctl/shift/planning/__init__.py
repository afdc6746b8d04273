"""What a shift would do: which nodes, what becomes of their pods and gangs, which patches. PURE."""
