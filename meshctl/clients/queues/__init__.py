"""Kueue and KAI Scheduler: their queues, why a job waits in one, and what pools have lent. EDGE (reads only)."""
