"""The steps of a shift and of its undoing: how each is done and verified, and the runner. EDGE."""
