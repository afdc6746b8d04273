"""Checks before an environment is changed: that it is the right one, and that the change loses or breaks nothing."""
