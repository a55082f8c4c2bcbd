"""The rules of users and logins."""

from dataclasses import replace

import pytest

from services.common.errors import InvalidArgument
from services.user.model import (
    LoginAttempts,
    LoginThrottled,
    RefreshToken,
    Registration,
    UsernameTaken,
    attempt_key,
    opaque,
)

PASSWORD = "correct horse"


def bad_fields(registration: Registration, password: str = PASSWORD) -> list[str]:
    try:
        registration.check(password)
    except InvalidArgument as error:
        return [violation.field for violation in error.violations]
    return []


@pytest.mark.parametrize("username", ["ada", "4d4", "a.b_c-d", "A" * 32])
def test_these_are_usernames(username: str) -> None:
    assert bad_fields(Registration(username, "a@b.example", "A")) == []


@pytest.mark.parametrize(
    "username",
    [
        *("", "ab", "a" * 33, ".ada", "-ada", "a da", "ada\n", "a@b", "ädä", "ada\0"),
        *("\u0430da", "\uff41\uff44\uff41", "ad\u212a", "ada\u200b", "\u202eada", "a\u0301da"),
    ],
)
def test_these_are_not_usernames(username: str) -> None:
    assert bad_fields(Registration(username, "a@b.example", "A")) == ["username"]


@pytest.mark.parametrize(
    "email",
    ["a@b.example", "A.b+tag@sub.b-c.example", "o'hara@b.co", f"a@{'b' * 63}.{'c' * 63}.example"],
)
def test_these_are_addresses(email: str) -> None:
    assert bad_fields(Registration("ada", email, "A")) == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "a@b",
        "@b.example",
        "a@.example",
        "a@b..example",
        "a@-b.example",
        "a b@c.example",
        "a@b@c.example",
        "a@b.example\n",
        "a" * 65 + "@b.example",
        "a@" + "b." * 126 + "example",
    ],
)
def test_these_are_not_addresses(email: str) -> None:
    assert bad_fields(Registration("ada", email, "A")) == ["email"]


@pytest.mark.parametrize(
    "password",
    [
        *("x" * 8, "x" * 128, "ünïcödé ✓"),
        *("e\u0301" * 128, "❤\ufe0f" * 4, "1\u1112\u1161\u11ab" * 64),
    ],
)
def test_these_may_be_passwords(password: str) -> None:
    assert bad_fields(Registration("ada", "a@b.example", "A"), password) == []


@pytest.mark.parametrize(
    "password",
    [
        *("", "x" * 7, "x" * 129, "e\u0301" * 7, "é" * 129, "e\u0301" * 257),
        *(" " * 8, "\u3000" * 8, "\u200b" * 8, " \u00a0\u2003\u200d" * 2),
        *("tab\tin it", "nul\0in it"),
    ],
)
def test_these_may_not_be_passwords(password: str) -> None:
    assert bad_fields(Registration("ada", "a@b.example", "A"), password) == ["password"]


@pytest.mark.parametrize("full_name", ["", " ", "x" * 101, "A\0"])
def test_these_are_not_names_to_show(full_name: str) -> None:
    assert set(bad_fields(Registration("ada", "a@b.example", full_name))) == {"full_name"}


@pytest.mark.parametrize(
    "typed",
    ["re\u0301sume\u0301 \u1112\u1161\u11ab", "résumé\u00a0한", "résumé\u3000한"],
    ids=["composed by the reader", "no-break space", "ideographic space"],
)
def test_a_password_is_one_however_a_device_composes_it(typed: str) -> None:
    assert opaque(typed) == "résumé 한"


@pytest.mark.parametrize("password", ["ﬁne", "FINE", "\uff46\uff49\uff4e\uff45", " f  ine "])
def test_a_password_is_not_taken_for_another_one(password: str) -> None:
    assert opaque(password) == password


@pytest.mark.parametrize(
    "username",
    ["admin", "ADMIN", "adm1n", "a.d-m_i.n", "Admln", "adrnin", "r00t", "5upp0rt", "system_"],
)
def test_the_shops_own_names_and_those_that_look_like_them_are_taken(username: str) -> None:
    with pytest.raises(UsernameTaken):
        Registration(username, "a@b.example", "A").confirm_unreserved()


@pytest.mark.parametrize("username", ["ada", "nadia", "admiral", "support3r-club", "rooted"])
def test_other_names_are_not_taken(username: str) -> None:
    Registration(username, "a@b.example", "A").confirm_unreserved()


def test_a_refresh_token_is_read_back_from_its_text() -> None:
    token = RefreshToken.new()
    assert RefreshToken.parse(token.text) == token


def test_a_successor_takes_the_token_and_the_salt_to_make() -> None:
    token, other = RefreshToken.new(), RefreshToken.new()
    successor = token.successor("salt")
    assert successor.family == token.family
    assert successor == token.successor("salt")
    digests = {token.digest, successor.digest, token.successor("pepper").digest}
    assert len(digests | {other.successor("salt").digest}) == 4


def test_only_the_tokens_of_a_family_have_its_seal() -> None:
    first, other = RefreshToken.new(), RefreshToken.new()
    key = first.family_key
    token = first.successor("salt").sealed(key)
    assert first.has_seal_of(key)
    assert token.has_seal_of(key)
    for stranger in (
        other,
        replace(other, family=first.family),
        replace(token, secret=other.secret),
        replace(token, secret=token.secret[:-1]),
        replace(token, seal=""),
        replace(token, seal="ä"),
    ):
        assert not stranger.has_seal_of(key)


def test_secrets_do_not_show_in_logs() -> None:
    token = RefreshToken.new()
    assert token.secret not in repr(token)
    assert token.seal not in repr(token)


def test_the_last_allowed_try_passes_and_the_next_waits_for_the_window() -> None:
    LoginAttempts(10, 42.0).confirm_at_most(10)
    with pytest.raises(LoginThrottled) as refused:
        LoginAttempts(11, 42.0).confirm_at_most(10)
    assert refused.value.retry_delay_s == 42.0


def test_an_unknown_name_is_counted_in_any_case_without_being_kept() -> None:
    key = attempt_key("NoBody", None)
    assert key == attempt_key("nobody", None)
    assert "nobody" not in key
