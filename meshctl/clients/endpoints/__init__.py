"""Endpoints and addresses: asked for their health as a mesh says it. EDGE."""
