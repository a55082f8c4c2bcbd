#!/bin/sh
# Build the images `shop` and `shop-load` with docker, podman or buildah, whichever works here. What is
# given is given to both builds, as in `scripts/image.sh --build-arg BASE=python:3.13-slim-trixie`.
# SHOP_BUILDER is the command of another builder.
set -eu
cd "$(dirname "$0")/.."

builder() {
    if [ -n "${SHOP_BUILDER:-}" ]; then
        echo "$SHOP_BUILDER"
    elif docker version >/dev/null 2>&1; then
        echo "docker build"
    elif command -v podman >/dev/null; then
        echo "podman build --format docker"
    elif command -v buildah >/dev/null; then
        echo "buildah build --format docker"
    else
        echo "An image is built with docker (its engine must answer), podman or buildah: none is here." >&2
        return 1
    fi
}

build=$(builder)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
for image in shop:services shop-load:load; do
    # The builder's command is several words.
    $build --target "${image#*:}" --tag "${image%:*}" \
        --label "org.opencontainers.image.revision=$revision" "$@" .
done
