"""What the lab's inference servers are made of: their options, answers and metrics, and a real model. EDGE."""
