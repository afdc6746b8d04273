"""`python -m providers.kubernetes ENGINE_ADDRESS`: the plugin process, started by the Pulumi engine. EDGE."""

from __future__ import annotations

from providers.kubernetes.provider import KubernetesProvider
from providers.plugin.serve import serve

if __name__ == "__main__":
    serve(KubernetesProvider())
