#!/bin/sh
# See that there are a Prometheus and its promtool for the tests of dashboards and alerts.
# usage: prometheus.sh FOLDER, where they go on Debian and Ubuntu if there are none. They are taken
# out of the distribution's package, for installing that would start a server.
set -eu
folder=$1
if [ -n "${SHOP_PROMETHEUS:-}" ]; then
    if command -v "$SHOP_PROMETHEUS" >/dev/null &&
        command -v "$(dirname "$(command -v "$SHOP_PROMETHEUS")")/promtool" >/dev/null; then
        exit 0
    fi
    echo "SHOP_PROMETHEUS is $SHOP_PROMETHEUS, which is no program with promtool beside it" >&2
    exit 1
fi
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    exit 0
fi
if [ -x "$folder/prometheus" ] && [ -x "$folder/promtool" ]; then
    exit 0
fi

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
# Newer releases have promtool in a package of its own.
fetched() (
    cd "$unpacked"
    for package in prometheus promtool; do
        apt-get -qq download $package >/dev/null 2>&1 || true
        for file in "$package"_*.deb; do
            [ ! -f "$file" ] || dpkg-deb -x "$file" .
        done
    done
    [ -x usr/bin/prometheus ] && [ -x usr/bin/promtool ]
)
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    echo "fetching prometheus, with which dashboards and alerts are tested (some seconds)"
    root=
    if [ "$(id -u)" != 0 ]; then
        root='sudo -n'
    fi
    # The lists of packages may be missing or old; only then is more than a user needed.
    if fetched || { $root apt-get -qq update >/dev/null 2>&1 && fetched; }; then
        mv "$unpacked/usr/bin/prometheus" "$unpacked/usr/bin/promtool" "$folder"
        exit 0
    fi
fi
echo "Dashboards and alerts are tested with Prometheus, which is neither here nor could be had:" >&2
echo "install prometheus with promtool (on Debian: apt-get install prometheus)," >&2
echo "or name one in SHOP_PROMETHEUS, with promtool in the same folder." >&2
exit 1
