#!/bin/sh
# Installs the WEKA operator, or brings it to another version. Runs in a pod of the mesh, as `meshctl.render.cluster.weka_operator`
# declares it: settings come by variables, chart values by /install/values.json. Running it again changes nothing.
# Source: charts/weka-operator/README.md of github.com/weka/weka-operator (read 2026-11-29): definitions are applied apart and
# server-side before each install or upgrade, since helm upgrades none and they are too big for a client's apply.
set -eu
export HOME=/tmp HELM_CACHE_HOME=/tmp/cache HELM_CONFIG_HOME=/tmp/config HELM_DATA_HOME=/tmp/data
release=weka-operator
registry=/registry/config.json

fail() {
  echo "$1" >&2
  exit 1
}

apply() {
  kubectl apply --server-side --force-conflicts --field-manager meshctl-weka-operator --filename "$1"
}

kubectl get namespace "$OPERATOR_NAMESPACE" >/dev/null 2>&1 || kubectl create namespace "$OPERATOR_NAMESPACE"

if [ -n "$PULL_SECRET" ]; then
  # the chart, too, where a mirror of it asks who pulls
  export HELM_REGISTRY_CONFIG="$registry"
  kubectl create secret generic "$PULL_SECRET" --namespace "$OPERATOR_NAMESPACE" --type kubernetes.io/dockerconfigjson \
    --from-file .dockerconfigjson="$registry" --dry-run=client --output json >/tmp/pull-secret.json
  apply /tmp/pull-secret.json
fi

helm show crds "$OPERATOR_CHART" --version "$OPERATOR_VERSION" >/tmp/definitions.yaml ||
  fail "the chart $OPERATOR_CHART $OPERATOR_VERSION can't be read: check the way to its registry, or name a mirror of it as neuralMesh.chart"
apply /tmp/definitions.yaml
kubectl wait --for=condition=Established --timeout=60s --filename /tmp/definitions.yaml

# an install that was killed leaves the release locked
case "$(helm status "$release" --namespace "$OPERATOR_NAMESPACE" --output json 2>/dev/null | jq -r '.info.status // ""')" in
  pending-install) helm uninstall "$release" --namespace "$OPERATOR_NAMESPACE" --wait ;;
  pending-upgrade | pending-rollback) helm rollback "$release" --namespace "$OPERATOR_NAMESPACE" --wait ;;
esac
helm upgrade --install "$release" "$OPERATOR_CHART" --version "$OPERATOR_VERSION" --namespace "$OPERATOR_NAMESPACE" \
  --values /install/values.json --wait --timeout 8m ||
  fail "the release of the WEKA operator did not become ready: \`kubectl get pods --namespace $OPERATOR_NAMESPACE\` shows why"
