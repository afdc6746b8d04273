"""Where the bottleneck of a workload is, and the smallest change that helps, with its price. PURE.

`formulas` has the arithmetic, `facts` what is known of a workload's model, `inference` and `training` the three numbers
of each kind, `changes` what could be changed, `advice` puts them together, `human` and `page` show them. Called by
`cli.advise`.
"""
