"""What a migration will do, what it will cost, and what stands against it. PURE but for `store_facts`."""
