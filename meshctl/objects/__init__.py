"""Object stores from the operator's machine: how they are reached, listed, copied and compared. EDGE.

A library that knows nothing of its callers: `meshctl.deploy` asks how much data a bucket holds, `meshctl.migrate`
copies and compares stores.
"""
