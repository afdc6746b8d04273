"""Pods that are up stay as they came up, in their gangs, groups and queues."""
