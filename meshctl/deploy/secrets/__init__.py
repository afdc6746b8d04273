"""Values of secrets, read when they are used, and what tells the pods that one has changed."""
