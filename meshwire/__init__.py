"""What meshctl and its providers must agree on: names, marks, versions, and which cluster a kubeconfig chooses.

The two sides import nothing of each other, because a provider is a program of its own that the Pulumi engine starts.
Whatever both of them have to spell or decide alike stands here, and this package imports neither of them.
"""
