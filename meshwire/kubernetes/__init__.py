"""The one client for Kubernetes API servers: meshctl, the kubernetes provider and the lab all use it.

`target` makes typed values of what a kubeconfig chooses, `credentials` and `trust` say who asks and whom we believe,
`requests` builds requests and reads answers (PURE), `client` sends them from threads and `async_client` from an event
loop. Answers are JSON; `objects` and `resources` give the kinds that meshctl reads their types. `errors` has what all
of them raise, without the HTTP library, which takes time to import.
"""
