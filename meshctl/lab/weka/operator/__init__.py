"""What WEKA's operator does: clusters, clients, policies, their containers and drives. EDGE."""
