#!/bin/sh
# Generate into the folder $1 what follows from the contracts: the Python code beside each
# contract, and contract.binpb, which later versions must stay compatible with. That one also holds
# the details of refusals (google.rpc), which gateways to JSON need to pass them on.
set -eu
cd "$(dirname "$0")/.."
out=$1
PATH="$PWD/.venv/bin:$PATH"

find proto/shop -name '*.proto' -exec python -m grpc_tools.protoc -Iproto \
    --python_out="$out" --mypy_out="quiet:$out" {} +
find proto/shop -name '*.proto' -exec grep -q '^service ' {} \; -exec python -m grpc_tools.protoc \
    -Iproto --grpc_python_out="$out" --mypy_grpc_out="quiet:$out" {} +
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
contracts=$(cd proto && find shop -name '*.proto' | sort)
# shellcheck disable=SC2086 # one argument each
python -m grpc_tools.protoc -Iproto -I"$packages" --include_imports \
    --descriptor_set_out="$out/contract.binpb" \
    $contracts google/rpc/error_details.proto google/rpc/status.proto
