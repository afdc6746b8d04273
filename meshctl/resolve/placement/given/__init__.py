"""Nodes of clusters that are given: which of them a pool gets, and why not the others. PURE."""
