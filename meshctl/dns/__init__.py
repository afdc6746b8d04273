"""The endpoints' names: which environment a name leads to, and the stack that holds the records. EDGE but for `names`.

Called by `meshctl.deploy` after an `up`, and by migrations for a cutover.
"""
