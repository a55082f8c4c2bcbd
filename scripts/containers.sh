#!/bin/sh
# `up` runs the shop in containers, waits until it serves, and says where it is; `down` stops it.
set -eu
cd "$(dirname "$0")/.."

require() {
    "$@" >/dev/null 2>&1 && return
    echo "'$*' fails: this needs Docker 25 or newer with its plugin compose, running." >&2
    echo "\`make run\` runs the shop without containers." >&2
    exit 1
}
require docker compose version
require docker info

case "${1-}" in
up)
    docker compose up --detach --build --wait --wait-timeout 300
    cat <<'END'

UserService       127.0.0.1:50151, 127.0.0.1:50152
InventoryService  127.0.0.1:50251, 127.0.0.1:50252
OrderService      127.0.0.1:50351, 127.0.0.1:50352
Prometheus        http://127.0.0.1:9090
Grafana           http://127.0.0.1:3000, as admin with the password that this prints:
                  docker compose exec grafana cat /run/shop/admin-password

The shop is empty: `docker compose run --rm demo` fills it. Its user admin has the password
that this prints:
                  docker compose exec user cat /run/shop/shop_admin_password

`make down` stops it. Its data stay until `docker compose down --volumes`.
END
    ;;
down)
    docker compose --profile demo --profile load down
    ;;
*)
    echo "usage: scripts/containers.sh up|down" >&2
    exit 2
    ;;
esac
