"""What is good to know of workloads and endpoints here, and forbids nothing. PURE."""
