#!/bin/sh
# Installs the WEKA operator, or brings it to another version. Runs in a pod of the mesh, as `meshctl.render.cluster.weka_operator`
# declares it: settings come by variables, chart values by /install/values.json. Running it again changes nothing.
# Source: charts/weka-operator/README.md of github.com/weka/weka-operator (read 2026-11-29): definitions are applied apart and
# server-side before each install or upgrade, since helm upgrades none and they are too big for a client's apply.
set -eu
HOME=$(mktemp -d)  # all else is read-only; helm and kubectl keep what they have read there
export HOME
release=weka-operator
registry=/registry/config.json

fail() {
  echo "$1" >&2
  exit 1
}

apply() {
  kubectl apply --server-side --force-conflicts --field-manager meshctl-weka-operator --filename "$1"
}

# its pods have their nodes' devices, which a cluster may forbid in namespaces that say nothing
kubectl get namespace "$OPERATOR_NAMESPACE" >/dev/null 2>&1 || kubectl create --filename - <<EOF
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "$OPERATOR_NAMESPACE",
 "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
EOF

if [ -n "$PULL_SECRET" ]; then
  # the chart, too, where a mirror of it asks who pulls
  export HELM_REGISTRY_CONFIG="$registry"
  kubectl create secret generic "$PULL_SECRET" --namespace "$OPERATOR_NAMESPACE" --type kubernetes.io/dockerconfigjson \
    --from-file .dockerconfigjson="$registry" --dry-run=client --output json >"$HOME/pull-secret.json"
  apply "$HOME/pull-secret.json"
fi

helm show crds "$OPERATOR_CHART" --version "$OPERATOR_VERSION" >"$HOME/definitions.yaml" ||
  fail "the chart $OPERATOR_CHART $OPERATOR_VERSION can't be read: check the way to its registry, or name a mirror of it as neuralMesh.chart"
apply "$HOME/definitions.yaml"
kubectl wait --for=condition=Established --timeout=60s --filename "$HOME/definitions.yaml"

# by which a later `up` of the same mesh knows that it may bring another version
kubectl create configmap "$OPERATOR_MARK" --namespace "$OPERATOR_NAMESPACE" --from-literal mesh="$MESH" \
  --dry-run=client --output json >"$HOME/mark.json"
apply "$HOME/mark.json"

# an install that was killed leaves the release locked
case "$(helm status "$release" --namespace "$OPERATOR_NAMESPACE" --output json 2>/dev/null | jq -r '.info.status // ""')" in
  pending-install) helm uninstall "$release" --namespace "$OPERATOR_NAMESPACE" --wait ;;
  pending-upgrade | pending-rollback) helm rollback "$release" --namespace "$OPERATOR_NAMESPACE" --wait ;;
esac
helm upgrade --install "$release" "$OPERATOR_CHART" --version "$OPERATOR_VERSION" --namespace "$OPERATOR_NAMESPACE" \
  --values /install/values.json --wait --timeout 8m ||
  fail "the release of the WEKA operator did not become ready: \`kubectl get pods --namespace $OPERATOR_NAMESPACE\` shows why"
