"""Two queues of one cohort: serving owns one CPU and borrows two more, which the other queue owns and takes back.

Written by hand, since what `test_lending` shows of them is Kueue's own.
"""

from __future__ import annotations

FLAVOR = """\
apiVersion: v1
kind: Namespace
metadata: {name: trimmed}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: trimmed}
spec: {}
"""
QUEUE = """\
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {{name: trimmed-{name}}}
spec:
  cohortName: trimmed
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: trimmed}}}}
  preemption: {{reclaimWithinCohort: Any}}
  resourceGroups:
  - coveredResources: [cpu]
    flavors: [{{name: trimmed, resources: [{{name: cpu, nominalQuota: "{own}"}}]}}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {{name: {name}, namespace: trimmed}}
spec: {{clusterQueue: trimmed-{name}}}
"""
SERVERS = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: trimmed}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}, kueue.x-k8s.io/queue-name: {name}, kueue.x-k8s.io/managed: "true"}}
      annotations: {{kueue.x-k8s.io/pod-suspending-parent: deployment}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: main, image: acme/simulated:1, resources: {{requests: {{cpu: "1"}}}}}}]
"""
