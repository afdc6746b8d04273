"""Controllers with webhooks, as some clusters have them: the real programs, beside a control plane. EDGE."""
