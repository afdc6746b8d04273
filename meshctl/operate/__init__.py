"""Commands for a running mesh: status and restart. EDGE. Called by `meshctl.cli`."""
