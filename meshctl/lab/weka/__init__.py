"""WEKA on Kubernetes, as the lab plays it: its kinds, its operator's decisions, its volumes and its REST API.

`definitions` has the custom resource definitions, `drives`, `containers`, `status` and `volumes` what the operator and
the CSI driver decide (pure), `api` and `server` the REST API. Run by `meshctl.lab.controllers.weka`; installed by the
image that `meshctl.lab.images.programs.helm` plays. Sources: weka/weka-k8s-api and weka/weka-operator (fields,
conditions, steps), weka/csi-wekafs (volumes), docs.weka.io (REST API, Snap-To-Object).
"""
