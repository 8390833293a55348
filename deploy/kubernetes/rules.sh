#!/usr/bin/env bash
# Prints deploy/prometheus/rules as a PrometheusRule, for the Prometheus operator. See --help.
set -euo pipefail

usage() {
  cat <<TEXT
usage: bash deploy/kubernetes/rules.sh | kubectl apply -f -

Prints the recording and alerting rules of deploy/prometheus/rules as one PrometheusRule in the namespace flashcore.
TEXT
}

case "${1:-}" in
  --help | -h) usage && exit 0 ;;
  "") ;;
  *) echo "error: unknown argument '$1'; --help lists them" >&2 && exit 1 ;;
esac

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
