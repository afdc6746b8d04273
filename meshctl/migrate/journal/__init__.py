"""The journal of a migration, stored beside the Pulumi state: its records, its lock, and its progress. EDGE."""
