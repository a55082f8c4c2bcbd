#!/bin/sh
# Renders what deploy/kubernetes would apply, and holds it against the oldest API that will do
# (docs/operations.md) and the newest that is known.
set -eu
cd "$(dirname "$0")/.."
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
find deploy/kubernetes -name kustomization.yaml | sort | while read -r kustomization; do
    folder=$(dirname "$kustomization")
    file="$rendered/$(echo "${folder#deploy/kubernetes/}" | tr / -).yaml"
    .venv/bin/kubectl kustomize "$folder" >"$file"
    for api in "-k 1.30" ""; do
        # Of a kind that no API has it only warns: whatever it says is a failure.
        # The option is two words, or none.
        said=$(.venv/bin/kubernetes-validate $api --strict --quiet "$file" 2>&1) && [ -z "$said" ] || {
            echo "$said" >&2
            exit 1
        }
    done
done
