"""The Pulumi programs. They declare what a `Deployment` says, and decide nothing.

Run by `meshctl.engine` as inline programs: one for each provider, `platform` (the Kubernetes layer that all share) and
`edge` (the names). Every resource is called `<mesh subject>:<detail>`, which is how `meshctl.changes` groups what the
engine reports.
"""
