"""WEKA on Kubernetes, as the lab plays it: its kinds, its operator's decisions, its volumes and its REST API.

`kinds` has the custom resource definitions, `operator` what the operator does (of which `drives`, `containers` and
`status` decide, pure), `volumes` what the CSI driver decides (pure), `api` the REST API. Run by
`meshctl.lab.controllers.weka`; installed by the image that `meshctl.lab.images.programs.helm` plays. Sources:
weka/weka-k8s-api and weka/weka-operator (fields, conditions, steps), weka/csi-wekafs (volumes), docs.weka.io (REST API,
Snap-To-Object).
"""
