"""Values of secrets, read when they are used, and the revisions that roll pods out when a value changes."""
