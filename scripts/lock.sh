#!/bin/sh
# Lock the newest versions that pyproject.toml and requirements/constraints.txt allow.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/pip" install --quiet uv

compile() {
    "$tools/bin/uv" pip compile --quiet --universal --generate-hashes \
        --no-header --python-version 3.11 --upgrade "$@"
}
compile --extra native pyproject.toml --group stack -c requirements/constraints.txt -o requirements/run.txt
compile --extra native --extra tracing pyproject.toml \
    -c requirements/run.txt -o requirements/image.txt
compile --extra native --extra tracing pyproject.toml --group dev \
    -c requirements/run.txt -c requirements/image.txt -o requirements/dev.txt
compile --group load -c requirements/run.txt -o requirements/load.txt
