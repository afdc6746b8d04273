"""The steps of a migration: which there are, how each is observed, done and verified, and who takes them. EDGE."""
