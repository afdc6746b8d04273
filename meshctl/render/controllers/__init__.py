"""What keeps pods running: Deployments, Jobs, groups, and what holds, scales or ends them. PURE."""
