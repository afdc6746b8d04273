"""The plugin process: `python -m providers.aws ENGINE_ADDRESS`. Started by the Pulumi engine. EDGE."""

from __future__ import annotations

from providers.aws.provider import AwsProvider
from providers.plugin.serve import serve

if __name__ == "__main__":
    serve(AwsProvider())
