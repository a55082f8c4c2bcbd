#!/bin/sh
# Check that what is checked in is what `make proto` generates.
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/generate.sh "$fresh"
diff -r -x '*.proto' -x buf.yaml -x __pycache__ proto "$fresh" || {
    echo "the generated code is not that of the contracts: run \`make proto\`" >&2
    exit 1
}
