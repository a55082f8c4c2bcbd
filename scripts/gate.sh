#!/bin/sh
# Run a measurement that judges, `gate` or `compare`, say what its exit code means, and end with it.
# Only 0 lets a change through: what was not measured was not guarded either.
set -eu
cd "$(dirname "$0")/.."
code=0
.venv/bin/python -m bench "$@" || code=$?
case $code in
    0) exit 0 ;;
    3) meaning="red: something is beyond its limit" ;;
    4) meaning="not measured: nothing was judged, for the reason above" ;;
    *) meaning="a crash: nothing was judged" ;;
esac
echo "bench $1 ended with $code, $meaning (docs/gates.md)" >&2
exit "$code"
