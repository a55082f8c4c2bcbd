#!/bin/sh
# See that there is a Chromium for the tests of the load report's page; on Debian, install one.
set -eu
if [ -n "${SHOP_CHROMIUM:-}" ]; then
    if command -v "$SHOP_CHROMIUM" >/dev/null; then
        exit 0
    fi
    echo "SHOP_CHROMIUM is $SHOP_CHROMIUM, which is no program" >&2
    exit 1
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done

root=
if [ "$(id -u)" != 0 ]; then
    root='sudo -n'
fi
if command -v apt-get >/dev/null && ${root:-true} true 2>/dev/null; then
    echo "installing chromium, in which the load report's page is tested (about a minute)"
    export DEBIAN_FRONTEND=noninteractive
    if $root apt-get -qq update &&
        $root apt-get -qq install --no-install-recommends -y chromium >/dev/null &&
        command -v chromium >/dev/null; then
        exit 0
    fi
fi
echo "The load report's page is tested in Chromium, which is neither here nor could be installed:" >&2
echo "install chromium or Google Chrome (on Debian: apt-get install chromium)," >&2
echo "or name one in SHOP_CHROMIUM." >&2
exit 1
