"""Measures the numbers that meshctl is to reach: `python -m tests.bench`. docs/benchmarks.md explains them."""
