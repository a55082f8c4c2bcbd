import os
from pathlib import Path

import pytest

from services.common.mongo import MongoDriver
from services.common.redis.cluster import cluster_client
from services.common.redis.one import client_of
from services.common.redis.servers import RedisOptions
from services.common.rpc.chain import ChainOptions, LimitKind
from services.common.rpc.interceptors.cache_control import CacheControlPolicy
from services.common.settings import PREFIX, Ports, UnusableSettingsError, read_settings
from services.common.tls import TlsFiles
from services.inventory.settings import Settings as InventorySettings
from services.order.settings import Settings as OrderSettings

COMPLETE = {
    "SHOP_MONGO_URI": "mongodb://root:hunter2@localhost",
    "SHOP_REDIS_URL": "redis://:hunter2@localhost",
    "SHOP_TRUSTED_KEYS_FILE": "/keys.json",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MONGO_DRIVER", "pymongo")
    monkeypatch.setenv("SHOP_MONGO_TIMEOUT_MS", "750")
    settings = read_settings(InventorySettings)
    assert settings.mongo.driver is MongoDriver.PYMONGO
    assert settings.mongo.timeout_ms == 750
    assert settings.mongo.uri == COMPLETE["SHOP_MONGO_URI"]
    assert settings.redis.url == COMPLETE["SHOP_REDIS_URL"]
    assert settings.trusted_keys_file == Path("/keys.json")


def test_what_is_not_set_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_MONGO_DRIVER", "")
    assert read_settings(InventorySettings).mongo.driver is MongoDriver.PYMONGO


def test_every_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_MONGO_URI")
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(OrderSettings)
    assert str(unusable.value).splitlines() == [
        "SHOP_MONGO_URI: must be set",
        "SHOP_ORDER_SIGNING_KEY_FILE: must be set",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHOP_MONGO_URI", "localhost"),
        ("SHOP_MONGO_URI", "mongodb://root:hunter2@localhost:port"),
        ("SHOP_MONGO_URI", "mongodb://root:hunter@2@localhost"),
        ("SHOP_REDIS_URL", "localhost:6379"),
        ("SHOP_REDIS_URL", "redis://:hunter2@localhost:port"),
        ("SHOP_MONGO_DRIVER", "odbc"),
        ("SHOP_MONGO_TIMEOUT_MS", "0"),
        ("SHOP_MONGO_TIMEOUT_MS", "soon"),
        ("SHOP_ORDER_PORT", "65536"),
        ("SHOP_RECONCILE_AGE_S", "-1"),
        ("SHOP_RECONCILE_AGE_S", "nan"),
        ("SHOP_LOG_LEVEL", "loud"),
        ("SHOP_REFLECTION", "perhaps"),
        ("SHOP_TRANSPORT", "pigeon"),
        ("SHOP_ORDER_METRICS_PORT", "-1"),
        ("SHOP_CONCURRENCY_LIMIT", "some"),
        ("SHOP_MAX_IN_FLIGHT", "0"),
        ("SHOP_CACHE_CONTROL", "everybody"),
        ("SHOP_WORKERS", "many"),
        ("SHOP_DRAIN_TIMEOUT_S", "inf"),
        ("SHOP_MAX_CONNECTION_AGE_S", "-1"),
        ("SHOP_DRAIN_NOTICE_S", "61"),
        ("SHOP_REDIS_TIMEOUT_MS", "30001"),
        ("SHOP_NEAR_BYTES", "1024"),
        ("SHOP_NEAR_LEASE_MS", "1"),
        ("SHOP_KEYS_REFRESH_S", "0.000001"),
        ("SHOP_RECONCILE_INTERVAL_S", "0.000001"),
        ("SHOP_RECONCILE_INTERVAL_S", "inf"),
        ("SHOP_ORDER_DATABASE", "shop.order"),
        ("SHOP_ORDER_DATABASE", "x" * 64),
        ("SHOP_ORDER_DATABASE", "Admin"),
        ("SHOP_USER_TARGET", "user"),
        ("SHOP_USER_TARGET", "dns:///user"),
        ("SHOP_USER_TARGET", "user:0"),
        ("SHOP_USER_TARGET", "ipv4:10.0.0.1:50051,10.0.0.2"),
        ("SHOP_INVENTORY_TARGET", "http://inventory:50052"),
        ("SHOP_INVENTORY_TARGET", "::1:50052"),
        ("SHOP_BIND_HOST", "127.0.0.1:50051"),
        ("SHOP_BIND_HOST", "[::"),
        ("SHOP_BIND_HOST", "[localhost]"),
        ("SHOP_BIND_HOST", "two words"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("SHOP_ORDER_SIGNING_KEY_FILE", "/key.pem")
    monkeypatch.setenv(name, value)
    with pytest.raises(UnusableSettingsError, match=f"^{name}: ") as unusable:
        read_settings(OrderSettings)
    assert len(str(unusable.value).splitlines()) == 1
    assert "hunter" not in str(unusable.value)


MONGO_URIS = [
    ("mongodb://h/?readPreference=secondary", "the option readPreference may only be primary"),
    ("mongodb://h/?w=1", "the option w may only be majority"),
    ("mongodb://h/?retryWrites=false", "the option retryWrites may only be true"),
    ("mongodb://h/?readConcernLevel=available", "and not readConcernLevel"),
    ("mongodb://h/?readPreferenceTags=dc:1", "and not readPreferenceTags"),
    ("mongodb://h/?wtimeoutMS=1", "and not wtimeoutMS"),
    ("mongodb://h/?journal=false", "and not journal"),
    ("mongodb://h/?timeoutMS=1", "and not timeoutMS"),
    ("mongodb://h/?socketTimeoutMS=1", "and not socketTimeoutMS"),
    ("mongodb://h/?minPoolSize=100", "and not minPoolSize"),
    ("mongodb://h/?maxPoolSize=1", "and not maxPoolSize"),
    ("mongodb://h/?tz_aware=true", "and not something else"),
    ("mongodb://h/?loadBalanced=true", "and not loadBalanced"),
    ("mongodb://h/?unheardof=true", "and not unheardof"),
    ("mongodb://root:12?hunter2@h", "and not something else"),
    ("mongodb://h/?tls=maybe", "an option cannot be used: The value of tls must be"),
    ("mongodb://h/?tls=true&tls=false", "the option tls needs one value"),
    ("mongodb://h/?replicaSet=", "the option replicaSet needs one value"),
    ("mongodb://h/?tls=true&tlsCAFile=/nowhere/ca.pem", "No such file"),
    ("mongodb://h/?tls=false&tlsCAFile=/dev/null", "an option cannot be used: TLS"),
    ("mongodb://a,b/?directConnection=true", "an option cannot be used: Cannot specify"),
    ("mongodb://h/?compressors=snappy", "compression with snappy is not available"),
    ("mongodb+srv://h/?w=0", "the option w may only be majority"),
    ("mongodb+srv://h/?tlsCAFile=/nowhere/ca.pem", "No such file"),
]


@pytest.mark.parametrize(("uri", "complaint"), MONGO_URIS, ids=[uri for uri, _ in MONGO_URIS])
def test_a_mongo_uri_that_would_not_work_as_it_reads_is_refused(
    monkeypatch: pytest.MonkeyPatch, uri: str, complaint: str
) -> None:
    monkeypatch.setenv("SHOP_MONGO_URI", uri)
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_MONGO_URI: ") as unusable:
        read_settings(InventorySettings)
    assert complaint in str(unusable.value)
    assert "hunter2" not in str(unusable.value)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb+srv://u:p@h/?retryWrites=true&w=majority&appName=Shop",
        "mongodb://u:p@a:1,b:2,c/shop?replicaSet=rs0&authSource=admin&compressors=zlib",
        "mongodb://h/?directConnection=true&TLS=true&tlsInsecure=true",
    ],
)
def test_what_a_mongo_uri_may_say_is_taken(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("SHOP_MONGO_URI", uri)
    assert read_settings(InventorySettings).mongo.uri == uri


@pytest.mark.parametrize(
    "target",
    [
        "user:50051",
        "[::1]:50051",
        "dns:user:50051",
        "dns:///user.shop.svc:50051",
        "dns://10.0.0.53/user:50051",
        "ipv4:10.0.0.1:50051,10.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:///run/user.sock",
        "xds:///user",
    ],
)
def test_targets_of_every_kind_are_taken(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("SHOP_ORDER_SIGNING_KEY_FILE", "/key.pem")
    monkeypatch.setenv("SHOP_USER_TARGET", target)
    assert read_settings(OrderSettings).user_target == target


@pytest.mark.parametrize("host", ["::", "[::]"])
def test_a_host_is_taken_with_brackets_and_without(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SHOP_BIND_HOST", host)
    settings = read_settings(InventorySettings)
    assert settings.bind_host == "::"  # as sockets want it
    assert settings.server.endpoint.address == "[::]:50052"  # as gRPC wants it


def test_secrets_appear_neither_in_complaints_nor_in_the_settings_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "hunter2" not in repr(read_settings(InventorySettings))
    monkeypatch.delenv("SHOP_TRUSTED_KEYS_FILE")
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(InventorySettings)
    assert "hunter2" not in f"{unusable.value}{unusable.value.__cause__}"


# ---- the request path


def tls(monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    for part in parts:
        monkeypatch.setenv(f"SHOP_TLS_{part}", f"/{part}.pem")


def test_without_certificates_a_service_serves_plaintext() -> None:
    assert read_settings(InventorySettings).tls is None


@pytest.mark.parametrize("authority", [None, Path("/CLIENT_CA.pem")])
def test_certificates_come_whole(monkeypatch: pytest.MonkeyPatch, authority: Path | None) -> None:
    tls(monkeypatch, "CERT", "KEY", *(["CLIENT_CA"] if authority else []))
    settings = read_settings(InventorySettings)
    assert settings.tls == TlsFiles(Path("/CERT.pem"), Path("/KEY.pem"), authority)
    assert settings.server.endpoint.tls == settings.tls


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (["CERT"], "SHOP_TLS_CERT and SHOP_TLS_KEY: set both or none"),
        (["KEY"], "SHOP_TLS_CERT and SHOP_TLS_KEY: set both or none"),
        (["CLIENT_CA"], "SHOP_TLS_CLIENT_CA: needs SHOP_TLS_CERT and SHOP_TLS_KEY"),
    ],
)
def test_half_a_certificate_is_refused(
    monkeypatch: pytest.MonkeyPatch, parts: list[str], complaint: str
) -> None:
    tls(monkeypatch, *parts)
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(InventorySettings)
    assert str(unusable.value) == complaint


def test_the_number_of_workers_on_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(InventorySettings).workers == 1
    monkeypatch.setenv("SHOP_WORKERS", "3")
    assert read_settings(InventorySettings).workers == 3
    assert read_settings(InventorySettings, {"workers": 2}).workers == 2


@pytest.mark.parametrize("workers", [0, -1, 257])
def test_a_senseless_number_of_workers_is_named(workers: int) -> None:
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_WORKERS: "):
        read_settings(InventorySettings, {"workers": workers})


def test_a_worker_shares_its_port_and_a_service_alone_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not read_settings(InventorySettings).server.endpoint.shared
    monkeypatch.setenv("SHOP_WORKER_INDEX", "0")
    assert read_settings(InventorySettings).server.endpoint.shared


def test_connections_get_as_old_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(InventorySettings).server.endpoint.max_connection_age_s == 0
    monkeypatch.setenv("SHOP_MAX_CONNECTION_AGE_S", "300")
    assert read_settings(InventorySettings).server.endpoint.max_connection_age_s == 300


def test_figures_are_read_at_a_port_of_each_service_and_0_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOP_ORDER_SIGNING_KEY_FILE", "/key.pem")
    assert read_settings(InventorySettings).ports == Ports(50052, 9102)
    assert read_settings(OrderSettings).ports == Ports(50053, 9103)
    monkeypatch.setenv("SHOP_INVENTORY_METRICS_PORT", "0")
    assert read_settings(InventorySettings).ports.metrics == 0


def test_how_calls_are_handled_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ChainOptions(
        LimitKind.ADAPTIVE,
        max_in_flight=512,
        log_every_call=False,
        cache_control=CacheControlPolicy.ADMIN,
    )
    assert read_settings(InventorySettings).chain() == usual
    monkeypatch.setenv("SHOP_CONCURRENCY_LIMIT", "fixed")
    monkeypatch.setenv("SHOP_MAX_IN_FLIGHT", "20")
    monkeypatch.setenv("SHOP_LOG_LEVEL", "debug")
    monkeypatch.setenv("SHOP_CACHE_CONTROL", "any")
    chosen = ChainOptions(
        LimitKind.FIXED,
        max_in_flight=20,
        log_every_call=True,
        cache_control=CacheControlPolicy.ANY,
    )
    assert read_settings(InventorySettings).chain() == chosen


def test_what_the_environment_does_not_say_is_read_from_the_folder_of_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SHOP_MONGO_URI")
    monkeypatch.setenv("SHOP_SECRETS_DIR", str(tmp_path))
    (tmp_path / "shop_mongo_uri").write_text("mongodb://from-a-file\n")
    (tmp_path / "SHOP_REDIS_URL").write_text("redis://from-a-file")
    settings = read_settings(InventorySettings)
    assert settings.mongo.uri == "mongodb://from-a-file"
    assert settings.redis.url == COMPLETE["SHOP_REDIS_URL"]


def test_a_folder_of_secrets_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_SECRETS_DIR", str(tmp_path / "absent"))
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_SECRETS_DIR: .*absent is not a folder"):
        read_settings(InventorySettings)


def test_a_secret_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SHOP_MONGO_URI")
    monkeypatch.setenv("SHOP_SECRETS_DIR", str(tmp_path))

    def refuse(self: Path, *args: object, **options: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "shop_mongo_uri").write_text("mongodb://secret")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_SECRETS_DIR: .*denied.*shop_mongo_uri"):
        read_settings(InventorySettings)


# ---- Redis


def redis(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SHOP_REDIS_{name}", value)


def test_sentinels_are_named_with_what_they_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(InventorySettings).redis.sentinel == ""
    redis(monkeypatch, URL="redis://s1,s2", SENTINEL="shop", SENTINEL_PASSWORD="hunter2")
    settings = read_settings(InventorySettings)
    assert settings.redis == RedisOptions(
        "redis://s1,s2", 200, sentinel="shop", sentinel_password="hunter2"
    )
    assert "hunter2" not in f"{settings!r}{settings.redis!r}"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        (
            {"SENTINEL": "shop", "CLUSTER": "true"},
            "SHOP_REDIS_SENTINEL and SHOP_REDIS_CLUSTER: set one of them",
        ),
        (
            {"SENTINEL_PASSWORD": "hunter2"},
            "SHOP_REDIS_SENTINEL_PASSWORD: needs SHOP_REDIS_SENTINEL",
        ),
        (
            {"URL": "redis://s1,s2"},
            "SHOP_REDIS_URL: several hosts need SHOP_REDIS_SENTINEL",
        ),
        (
            {"SENTINEL": "shop", "URL": "redis://:hunter2@s1,"},
            "SHOP_REDIS_URL: with SHOP_REDIS_SENTINEL, a sentinel is named as host:port",
        ),
    ],
)
def test_settings_of_redis_that_do_not_go_together_are_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], complaint: str
) -> None:
    redis(monkeypatch, **variables)
    with pytest.raises(UnusableSettingsError) as unusable:
        read_settings(InventorySettings)
    assert str(unusable.value) == complaint


REDIS_URLS = [
    ("redis://h?decode_responses=true", "and not decode_responses"),
    ("redis://h?socket_timeout=0.001", "and not socket_timeout"),
    ("redis://h?socket_connect_timeout=60", "and not socket_connect_timeout"),
    ("redis://h?timeout=60", "and not timeout"),
    ("redis://h?protocol=3", "and not protocol"),
    ("redis://h?encoding=utf-16", "and not encoding"),
    ("redis://h?max_connections=1", "and not max_connections"),
    ("redis://h?health_check_interval=1", "and not health_check_interval"),
    ("redis://h?retry_on_timeout=true", "and not retry_on_timeout"),
    ("redis://h?client_name=shop", "and not client_name"),
    ("redis://h?x=hunter2", "and not x"),
    ("redis://user:12?hunter2@h=1", "and not something else"),
    ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs needs rediss://"),
    ("redis://h?db=", "the option db needs one value"),
    ("redis://h?db=1&db=2", "the option db needs one value"),
    ("redis://h/1?db=2", "names the database twice"),
    ("redis://h/shop", "the database must be a number"),
    ("redis://h/1/2", "the database must be a number"),
    ("redis://h?db=-1", "the database must be a number"),
    ("rediss://h?ssl_cert_reqs=perhaps", "an option for TLS cannot be used"),
    ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "an option for TLS cannot be used"),
]


@pytest.mark.parametrize(("url", "complaint"), REDIS_URLS, ids=[url for url, _ in REDIS_URLS])
@pytest.mark.parametrize("kind", [{}, {"CLUSTER": "true"}, {"SENTINEL": "shop"}], ids=str)
def test_a_redis_url_that_would_not_work_as_it_reads_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: dict[str, str], url: str, complaint: str
) -> None:
    redis(monkeypatch, URL=url, **kind)
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_REDIS_URL: ") as unusable:
        read_settings(InventorySettings)
    assert complaint in str(unusable.value)
    assert "hunter2" not in str(unusable.value)


@pytest.mark.parametrize("url", ["redis://h:0", "unix://", "unix://?db=1", "redis://h:port"])
def test_a_redis_url_that_names_no_server_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    redis(monkeypatch, URL=url)
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_REDIS_URL: must be like redis://"):
        read_settings(InventorySettings)


@pytest.mark.parametrize("url", ["redis://h/1", "redis://h?db=1", "unix:///redis.sock"])
def test_a_cluster_has_ports_and_no_other_database(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    redis(monkeypatch, URL=url)
    assert read_settings(InventorySettings).redis.url == url
    redis(monkeypatch, CLUSTER="true")
    with pytest.raises(UnusableSettingsError, match=r"^SHOP_REDIS_URL: a cluster has"):
        read_settings(InventorySettings)


@pytest.mark.parametrize(
    "url",
    [
        "redis://shop:p%40ss@h:6380/3",
        "redis://h?username=shop&password=hunter2&db=3",
        "rediss://h/0?ssl_cert_reqs=none",
        "rediss://[::1]?ssl_check_hostname=false",
        "unix:///run/redis.sock?db=2",
    ],
)
async def test_what_a_redis_url_may_say_makes_a_client(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    redis(monkeypatch, URL=url)
    client = client_of(read_settings(InventorySettings).redis)
    client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    await client.aclose()


async def test_what_the_url_of_a_cluster_may_say_makes_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "rediss://shop:x@h/0?ssl_cert_reqs=none&ssl_check_hostname=false"
    redis(monkeypatch, URL=url, CLUSTER="true")
    await cluster_client(read_settings(InventorySettings).redis).aclose()
