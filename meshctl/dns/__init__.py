"""The DNS records of endpoints: which environment each points at, and the stack that holds them. EDGE but for
`records`.

Called by `meshctl.deploy` after an `up`, and by migrations for a cutover.
"""
