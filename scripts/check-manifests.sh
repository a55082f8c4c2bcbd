#!/bin/sh
# Renders what deploy/kubernetes would apply, and holds it against the newest API that is known.
set -eu
cd "$(dirname "$0")/.."
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
find deploy/kubernetes -name kustomization.yaml | sort | while read -r kustomization; do
    folder=$(dirname "$kustomization")
    file="$rendered/$(echo "${folder#deploy/kubernetes/}" | tr / -).yaml"
    .venv/bin/kubectl kustomize "$folder" >"$file"
    .venv/bin/kubernetes-validate --strict --quiet "$file"
done
