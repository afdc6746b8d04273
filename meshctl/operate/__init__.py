"""What is done with a running mesh: status now; drift, shift, adopt and bench later. EDGE. Called by
`meshctl.cli`."""
