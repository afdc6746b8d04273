"""Waiting for objects: when one is ready or will never be, how long its end may take, and the wait loop.

Called by `provider`, `deleting` and `session`. `waiting` is EDGE, the rules beside it are PURE.
"""
