"""How the stacks of a mesh are run: plans, an `up`, the buckets alone, a destroy. EDGE, but for `plans`.

Called by `deploy.session` alone. `stack_runs` opens a stack, `environment_program` declares what is in it,
`environment_plan` and `environment_up` are the two ways through a whole environment.
"""
