"""Endpoints beside their stacks: found as they are up, proven, and asked once they are up. EDGE."""
