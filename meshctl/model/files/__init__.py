"""Reading the users' files into values: keys, references, and what is said about mistakes. PURE."""
