"""Which container gets which secrets, as files that only its user can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.provision.errors import ProvisionError
from services.provision.files import handed_over
from services.provision.logins import LOGINS, Login
from services.provision.mongo_users import REPLICA_SET, ROOT
from services.provision.redis_users import HEALTH, OPERATOR, users_file
from services.provision.vault import Vault

_OWN_USER = 10001
_STORES_USER = 999
_GRAFANA_USER = 472


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services find the stores, each ``host:port``."""

    mongodb: str
    redis: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A container: what it finds in its folder, and the id of the user it runs as."""

    name: str
    owner: int
    files: Mapping[str, str | bytes]

    def receive(self, folder: Path) -> None:
        """Write the files into this reader's folder under the given one."""
        own = folder / self.name
        if not own.is_dir():
            raise ProvisionError(f"{own} is not there: it is the volume of {self.name}")
        for name, content in self.files.items():
            content_bytes = content.encode() if isinstance(content, str) else content
            handed_over(own / name, content_bytes, self.owner)


def readers(vault: Vault, addresses: Addresses) -> Sequence[Reader]:
    """Return who gets what. What is not in the vault yet is made."""
    mongodb = vault.passwords("mongodb", [ROOT, *(login.name for login in LOGINS)])
    redis = vault.passwords("redis", [HEALTH, OPERATOR, *(login.name for login in LOGINS)])
    admin = vault.password("shop-admin")
    services = [
        Reader(
            login.service,
            _OWN_USER,
            {
                "shop_mongo_uri": _mongo_uri(login, mongodb[login.name], addresses.mongodb),
                "shop_redis_url": f"redis://{login.name}:{redis[login.name]}@{addresses.redis}/0",
                "trusted-keys.json": vault.signing_file("trusted-keys.json"),
            },
        )
        for login in LOGINS
    ]
    return [
        Reader("mongodb", _STORES_USER, {"key": vault.mongodb_key()}),
        Reader("mongodb-users", _OWN_USER, mongodb),
        Reader(
            "redis",
            _STORES_USER,
            {
                "users.acl": users_file(LOGINS, redis),
                **{f"{name}-password": redis[name] for name in (HEALTH, OPERATOR)},
            },
        ),
        *services,
        Reader(
            "user",
            _OWN_USER,
            {"shop_admin_password": admin, "user.pem": vault.signing_file("user.pem")},
        ),
        Reader("order", _OWN_USER, {"order.pem": vault.signing_file("order.pem")}),
        Reader(
            "demo",
            _OWN_USER,
            {"shop_admin_password": admin, "shop_demo_password": vault.password("shop-demo")},
        ),
        Reader("grafana", _GRAFANA_USER, {"admin-password": vault.password("grafana-admin")}),
    ]


def _mongo_uri(login: Login, password: str, address: str) -> str:
    return f"mongodb://{login.name}:{password}@{address}/?replicaSet={REPLICA_SET}&authSource=admin"
