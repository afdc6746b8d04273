"""The plan of a migration: what it will do, what it will cost, and what prevents it. PURE but for `store_facts`."""
