"""The steps of a migration: their order, how each is observed, done and verified, and the runner. EDGE."""
