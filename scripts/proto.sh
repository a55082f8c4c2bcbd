#!/bin/sh
# Check the contracts, then replace what is generated from them.
set -eu
cd "$(dirname "$0")/.."
scripts/check-contracts.sh
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/generate.sh "$fresh"
find proto/shop \( -name '*_pb2*.py' -o -name '*_pb2*.pyi' \) -exec rm {} +
cp -R "$fresh/." proto/
