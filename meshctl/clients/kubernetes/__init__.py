"""Kubernetes API servers: how they are reached, and what nodes, pods and claims are there. EDGE."""
