"""The journal of a migration beside the Pulumi state: records, the lock, and what they say of how far it is. EDGE."""
