#!/bin/sh
# All static checks; each says what it found, and the first that finds something ends it.
set -eu
cd "$(dirname "$0")/.."
check() {
    echo "== $*"
    "$@"
}
bin=.venv/bin
check $bin/ruff check .
check $bin/ruff format --check .
check $bin/mypy services bench loadtests tests deploy
check $bin/lint-imports
check scripts/check-contracts.sh
check scripts/check-generated.sh
check $bin/check-jsonschema --builtin-schema vendor.compose-spec \
    compose.yml deploy/compose/stores.yml
check $bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml
check scripts/check-manifests.sh
check $bin/hadolint Dockerfile
