"""`python -m providers.kubernetes ENGINE_ADDRESS`: the plugin process, started by the Pulumi engine. EDGE."""

from __future__ import annotations

from providers.base.serve import serve
from providers.kubernetes.provider import KubernetesProvider

if __name__ == "__main__":
    serve(KubernetesProvider())
