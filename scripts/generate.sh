#!/bin/sh
# Generate into the folder $1 what follows from the contracts: the Python code beside each
# contract, and contract.binpb, which later versions must stay compatible with.
set -eu
cd "$(dirname "$0")/.."
out=$1
PATH="$PWD/.venv/bin:$PATH"

find proto/shop -name '*.proto' -exec python -m grpc_tools.protoc -Iproto \
    --python_out="$out" --mypy_out="quiet:$out" {} +
find proto/shop -name '*.proto' -exec grep -q '^service ' {} \; -exec python -m grpc_tools.protoc \
    -Iproto --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" {} +
buf build proto --exclude-source-info -o "$out/contract.binpb"
