#!/bin/sh
# Install the locked packages for `run` or `dev`, and this project, into .venv; those for `load`,
# and not the project, into .venv-load.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=.venv
if [ "$1" = load ]; then
    venv=.venv-load
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed, and $python is not that; name another one, as in" >&2
    echo "  make run PYTHON=python3.12" >&2
    exit 1
fi
if ! [ -x $venv/bin/python ]; then
    echo "creating $venv"
    "$python" -m venv $venv || { rm -rf $venv; exit 1; }
fi
echo "installing the packages of requirements/$1.txt (about a minute the first time)"
export PIP_DISABLE_PIP_VERSION_CHECK=1
$venv/bin/python -m pip install -qq --require-hashes -r "requirements/$1.txt"
if [ "$1" != load ]; then
    $venv/bin/python -m pip install -qq --no-deps --no-build-isolation -e .
fi
