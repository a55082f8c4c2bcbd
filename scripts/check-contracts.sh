#!/bin/sh
# Check that the contracts are well formed and break nobody who uses the checked-in version.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/buf lint proto
cd proto
../.venv/bin/buf breaking . --against contract.binpb --path shop
