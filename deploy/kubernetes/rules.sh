#!/usr/bin/env bash
# Prints deploy/prometheus/rules as a PrometheusRule, for the Prometheus operator:
#   bash deploy/kubernetes/rules.sh | kubectl apply -f -
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../prometheus/rules"
cat <<'TEXT'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: flashcore
  namespace: flashcore
  labels: {app.kubernetes.io/name: flashcore}
spec:
  groups:
TEXT
# Each file is the key `groups` and, indented below it, a list.
for file in *.yaml; do sed '/^groups:$/d; s/^/  /; s/^ *$//' "$file"; done
