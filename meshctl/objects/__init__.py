"""Object stores from the operator's machine: how they are reached, listed, copied and compared. EDGE.

A library: `meshctl.deploy` asks what a bucket holds, `meshctl.migrate` copies and compares, and nothing here knows of
either.
"""
