"""Where the bottleneck of a workload is, and the smallest change that helps, with its price. PURE.

`formulas` has the arithmetic, `facts` what is known of a workload's model, `runs` what a measured run is of,
`inference` and `training` the three numbers of each kind, `answers` what is known of an API that answers from
documents, `observed` the latency and accuracy that were measured, `storage` the rate of what both read and write,
`other_machine` what a pool would cost elsewhere, `edits` what to write for a change, `advice` puts them together,
`comparison` holds measured numbers against what is expected, `human` and `page` show advice. Called by `cli.advise` and
`cli.bench`.
"""
