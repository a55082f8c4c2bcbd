"""The rules of users and logins."""

from dataclasses import replace

import pytest

from services.common.errors import InvalidArgument
from services.user.model import (
    LoginAttempts,
    LoginThrottled,
    RefreshToken,
    Registration,
    attempt_key,
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
    "username", ["", "ab", "a" * 33, ".ada", "-ada", "a da", "ada\n", "a@b", "ädä", "ada\0"]
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


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, "ünïcödé ✓"])
def test_these_may_be_passwords(password: str) -> None:
    assert bad_fields(Registration("ada", "a@b.example", "A"), password) == []


@pytest.mark.parametrize("password", ["", "x" * 7, "x" * 129])
def test_these_may_not_be_passwords(password: str) -> None:
    assert bad_fields(Registration("ada", "a@b.example", "A"), password) == ["password"]


@pytest.mark.parametrize("full_name", ["", " ", "x" * 101, "A\0"])
def test_these_are_not_names_to_show(full_name: str) -> None:
    assert set(bad_fields(Registration("ada", "a@b.example", full_name))) == {"full_name"}


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
