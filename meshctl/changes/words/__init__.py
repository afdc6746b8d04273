"""Properties of Kubernetes objects in the words of a mesh's keys. PURE. Called by `meshctl.changes.fields`."""
