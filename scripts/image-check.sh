#!/bin/sh
# Try the images where no container engine is, on Debian as root: build them with buildah on a base
# that debootstrap makes, look into them, run the services out of them and let the end-to-end
# journeys pass on these. All of it is kept in out/image, of which only the base stays.
#
# SHOP_BASE_SUITE is the Debian release of the base (bookworm), SHOP_BASE_MIRROR a mirror for it. pip in
# the build has the settings that pip has here; files and folders that they name are mounted.
set -eu
cd "$(dirname "$0")/.."
suite=${SHOP_BASE_SUITE:-bookworm}
mirror=${SHOP_BASE_MIRROR:-}
folder=$PWD/out/image
base=$folder/base-$suite.tar
export BUILDAH_ISOLATION=chroot
buildah="buildah --storage-driver vfs --root $folder/store --runroot $folder/run"

if [ "$(id -u)" != 0 ]; then
    echo "The images are tried as root: sudo scripts/image-check.sh" >&2
    exit 1
fi
if ! command -v buildah >/dev/null || ! command -v debootstrap >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "The images are tried with buildah and debootstrap; install both." >&2
        exit 1
    fi
    echo "installing buildah and debootstrap"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install --no-install-recommends -y buildah debootstrap >/dev/null
fi

discard() {
    rm -rf "$folder/store" "$folder/run" "$folder/base" "$folder/pip.conf"
}

# What is in no container: packages' archives and lists, documentation.
make_base() {
    echo "making a base of Debian $suite (about a minute)"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$folder/base" ${mirror:+"$mirror"} >"$folder/debootstrap.log"
    for waste in var/cache/apt var/lib/apt/lists usr/share/doc usr/share/locale usr/share/man; do
        rm -rf "${folder:?}/base/$waste"
    done
    tar --create --file "$base.part" --directory "$folder/base" .
    mv "$base.part" "$base"
    rm -rf "$folder/base"
}

import_base() {
    container=$($buildah from scratch)
    $buildah add --quiet "$container" "$base" / >/dev/null
    $buildah config --cmd python3 "$container"
    $buildah commit --quiet --rm "$container" localhost/base >/dev/null
}

# What pip is told here by files and variables, as one file; the first of several has precedence.
pip_settings() {
    echo "[global]"
    .venv/bin/python -m pip config list |
        sed -n "s/^[^=]*\.\([a-z-]*\)='\(.*\)'\$/\1 = \2/p" | sed 's/\\n/ /g' |
        awk '!named[$1]++'
}

# An index of files refers to what lies beside it.
mounts() {
    for word in $(sed 's/^[^=]*=//' "$folder/pip.conf"); do
        case $word in
        file://*) path=$(dirname "${word#file://}") ;;
        /*) path=$word ;;
        *) continue ;;
        esac
        if [ -e "$path" ]; then
            echo "--volume=$path:$path:ro"
        fi
    done | sort -u
}

mkdir -p "$folder"
trap discard EXIT
discard
[ -f "$base" ] || make_base
echo "building the images (a few minutes)"
import_base
(umask 077 && pip_settings >"$folder/pip.conf")
# Each mount is a word.
SHOP_BUILDER="$buildah build --format docker" scripts/image.sh --build-arg BASE=localhost/base \
    --secret "id=pip,src=$folder/pip.conf" $(mounts) >"$folder/build.log" 2>&1 || {
    tail -n 30 "$folder/build.log" >&2
    exit 1
}
.venv/bin/python -m tests.image "$buildah"
