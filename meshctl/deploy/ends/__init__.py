"""What is ended beside the engine: groups at the same time, WEKA clusters, claims that stay behind. EDGE."""
