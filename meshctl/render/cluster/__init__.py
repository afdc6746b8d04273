"""What a deployment has in its cluster beside the pods of its workloads. PURE."""
