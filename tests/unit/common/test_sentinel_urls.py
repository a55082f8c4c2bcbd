"""URLs of several sentinels."""

import pytest

from services.common.redis.sentinel_urls import SentinelUrl, UnusableUrlError, names_several


def test_each_sentinel_has_a_url_of_its_own_and_the_usual_port_unless_told_otherwise() -> None:
    url = SentinelUrl.parse("redis://s1,s2:26380,[::1]:26381/0")
    expected = ["redis://s1:26379", "redis://s2:26380", "redis://[::1]:26381"]
    assert url.sentinels("") == expected


def test_user_password_and_database_are_for_the_server_alone() -> None:
    url = SentinelUrl.parse("redis://shop:p%40ss@s1,s2/3")
    assert url.server("10.0.0.1", 6379) == "redis://shop:p%40ss@10.0.0.1:6379/3"
    assert url.sentinels("") == ["redis://s1:26379", "redis://s2:26379"]


def test_sentinels_have_their_own_password() -> None:
    (url,) = SentinelUrl.parse("redis://:servers@s1").sentinels("a/b@c")
    assert url == "redis://:a%2Fb%40c@s1:26379"


def test_tls_and_options_count_for_sentinels_and_servers_but_the_database_for_these_alone() -> None:
    url = SentinelUrl.parse("rediss://s1?ssl_ca_certs=/ca.pem&db=2&password=hunter2")
    assert url.sentinels("") == ["rediss://s1:26379?ssl_ca_certs=%2Fca.pem"]
    query = "ssl_ca_certs=/ca.pem&db=2&password=hunter2"
    assert url.server("::1", 6379) == f"rediss://[::1]:6379?{query}"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("unix:///run/redis.sock", "redis://host:port,host:port"),
        ("s1:26379,s2:26379", "redis://host:port,host:port"),
        ("redis://", "redis://host:port,host:port"),
        ("redis://:hunter2@/0", "redis://host:port,host:port"),
        ("redis://s1,,s2", "named as host:port"),
        ("redis://s1,s2,", "named as host:port"),
        ("redis://s1:port", "named as host:port"),
        ("redis://s1:0", "named as host:port"),
        ("redis://s1:65536", "named as host:port"),
        ("redis://::1:26379", "named as host:port"),
        ("redis://:hunter2@s1,s1:26379", "named twice"),
    ],
)
def test_what_names_no_sentinels_is_refused_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(UnusableUrlError, match=complaint) as unusable:
        SentinelUrl.parse(url)
    assert "hunter2" not in str(unusable.value)


def test_a_url_is_shown_without_its_password() -> None:
    for url in ("redis://:hunter2@s1", "redis://s1?password=hunter2"):
        assert "hunter2" not in repr(SentinelUrl.parse(url))


def test_a_comma_in_a_password_is_no_second_host() -> None:
    assert names_several("redis://:a@s1,s2/0")
    assert not names_several("redis://:a,b@s1/0")
    assert not names_several("unix:///run/redis,old.sock")
