import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.clock import utc_now
from services.common.errors import InvalidArgument
from services.common.paging import (
    decode_page_token,
    decode_time_token,
    encode_page_token,
    encode_time_token,
    page_size,
)

SCOPE = ("ListThings", "shoes")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
positions = st.lists(texts, max_size=3).map(tuple)


def fields_of(error: InvalidArgument) -> list[str]:
    return [violation.field for violation in error.violations]


@pytest.mark.parametrize(("requested", "given_size"), [(0, 20), (1, 1), (100, 100), (101, 100)])
def test_a_page_has_the_size_asked_for_within_the_bounds(requested: int, given_size: int) -> None:
    assert page_size(requested) == given_size


def test_a_negative_page_size_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument) as refused:
        page_size(-1)
    assert fields_of(refused.value) == ["page_size"]


@given(position=positions, scope=positions)
def test_a_token_leads_back_to_its_position(
    position: tuple[str, ...], scope: tuple[str, ...]
) -> None:
    assert decode_page_token(encode_page_token(position, scope), scope, len(position)) == position


def test_a_token_is_safe_in_a_url() -> None:
    token = encode_page_token(("ÿþýü???>>>",), SCOPE)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not base64 at all!",
        "é",
        "\ud800",
        "AAAA",
        "A" * 10_000,
        encode_page_token(("5",), SCOPE)[:-1],
        encode_page_token(("5",), SCOPE) + "A",
        encode_page_token(("5",), ("ListThings", "hats")),
        encode_page_token(("5",), ("ListOthers", "shoes")),
        base64.urlsafe_b64encode(b"01234567[]").decode(),
    ],
)
def test_a_token_of_anything_else_is_refused_by_name(token: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        decode_page_token(token, SCOPE, parts=1)
    assert fields_of(refused.value) == ["page_token"]


@given(token=st.text(max_size=600))
def test_no_text_breaks_the_reading_of_tokens(token: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_page_token(token, SCOPE, parts=1)


@pytest.mark.parametrize(
    "position",
    [
        ("5",),
        ("5", "6", "7"),
        ("not a time", "6"),
        ("2026-11-24T12:00:00", "6"),
        ("0001-01-01T00:00:00+23:59", "6"),
        ("9999-12-31T23:59:59-23:59", "6"),
    ],
    ids=["short", "long", "no time", "time of nowhere", "before all time", "after all time"],
)
def test_a_token_made_up_with_the_right_digest_is_refused_all_the_same(
    position: tuple[str, ...],
) -> None:
    with pytest.raises(InvalidArgument):
        decode_time_token(encode_page_token(position, SCOPE), SCOPE)


def test_a_token_of_a_time_leads_back_to_it() -> None:
    moment = utc_now()
    token = encode_time_token(moment, "6", SCOPE)
    assert decode_time_token(token, SCOPE) == (moment, "6")
