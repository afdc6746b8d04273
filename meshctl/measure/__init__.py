"""What the field's benchmark programs print, as values: results with their machine, versions and date. PURE.

`outputs` reads any of them; `results` is what meshctl keeps beside the state. Called by `cli.bench`; read by
`meshctl.advise`, which compares them with what is expected.
"""
