"""Pools without machines: waiting for them, what is said of them, and what idles meanwhile. EDGE."""
