"""Who a caller is, what it may do, and who gets into the cluster. PURE."""
