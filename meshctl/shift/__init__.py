"""Moving nodes of one environment from a pool to another pool with the same hardware."""
