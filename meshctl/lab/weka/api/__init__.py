"""WEKA's REST API: the systems behind it, their calls, and snapshots in object stores. EDGE."""
