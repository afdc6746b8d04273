"""WEKA's operator and its clusters, as Kubernetes objects show them. EDGE (reads only)."""
