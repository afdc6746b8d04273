"""What WEKA's operator brings to a cluster: its kinds and their schemas, and its Helm chart. PURE."""
