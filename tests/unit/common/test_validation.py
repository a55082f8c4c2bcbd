import re

import pytest

from services.common.errors import FieldViolation, InvalidArgument
from services.common.ids import new_id
from services.common.validation import FieldChecks, check_identifier, check_name


def complaints(checks: FieldChecks) -> list[FieldViolation]:
    try:
        checks.finish()
    except InvalidArgument as error:
        return list(error.violations)
    return []


def test_everything_wrong_is_told_at_once() -> None:
    checks = FieldChecks()
    checks.identifier("order_id", "")
    checks.number("quantity", 0, at_least=1, at_most=9)
    checks.require(holds=True, field="fine", description="is not fine")
    with pytest.raises(InvalidArgument) as refused:
        checks.finish()
    assert refused.value.violations == (
        FieldViolation("order_id", "must be 24 lower-case hexadecimal digits"),
        FieldViolation("quantity", "must be 1 to 9, is 0"),
    )
    assert "order_id: must be" in refused.value.message
    assert "quantity: must be" in refused.value.message


def test_nothing_is_raised_when_nothing_is_wrong() -> None:
    FieldChecks().finish()


def test_an_id_given_by_the_shop_is_an_identifier() -> None:
    check_identifier("product_id", new_id())


@pytest.mark.parametrize(
    "value", ["", "0" * 23, "0" * 25, "A" * 24, "g" * 24, "0" * 24 + "\n", "\u0660" * 24]
)
def test_what_is_not_24_lower_case_hexadecimal_digits_is_no_identifier(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_identifier("product_id", value)
    assert refused.value.violations[0].field == "product_id"


@pytest.mark.parametrize("value", ["a", "Z-9._", "x" * 64])
def test_letters_digits_dots_underscores_and_dashes_make_a_name(value: str) -> None:
    check_name("request_id", value)


@pytest.mark.parametrize("value", ["", "x" * 65, "a b", "a/b", "é", "a\n", "$where", "a\x00"])
def test_other_characters_and_lengths_make_no_name(value: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_name("request_id", value)
    assert refused.value.violations[0].field == "request_id"


@pytest.mark.parametrize(("value", "fine"), [(0, False), (1, True), (9, True), (10, False)])
def test_both_bounds_of_a_number_are_allowed(value: int, *, fine: bool) -> None:
    checks = FieldChecks()
    checks.number("n", value, at_least=1, at_most=9)
    assert (not complaints(checks)) is fine


@pytest.mark.parametrize(("count", "fine"), [(0, False), (1, True), (3, True), (4, False)])
def test_both_bounds_of_a_count_are_allowed(count: int, *, fine: bool) -> None:
    checks = FieldChecks()
    checks.count("items", [None] * count, at_least=1, at_most=3)
    assert (not complaints(checks)) is fine


@pytest.mark.parametrize(
    ("length", "fine"), [(0, False), (1, False), (2, True), (5, True), (6, False)]
)
def test_both_bounds_of_a_length_are_allowed(length: int, *, fine: bool) -> None:
    checks = FieldChecks()
    checks.text("name", "x" * length, at_least=2, at_most=5)
    assert (not complaints(checks)) is fine


def test_a_text_that_may_be_empty_may_be_empty() -> None:
    checks = FieldChecks()
    checks.text("description", "", at_most=5)
    assert not complaints(checks)


@pytest.mark.parametrize("blank", [" ", "\t\n", "\u3000", "\u200b", "\u2060 \u200d"])
def test_a_text_is_not_all_blank(blank: str) -> None:
    checks = FieldChecks()
    checks.text("name", blank, at_least=1, at_most=9)
    assert complaints(checks) == [FieldViolation("name", "must not be blank")]


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85"])
def test_a_text_holds_no_control_characters(character: str) -> None:
    checks = FieldChecks()
    checks.text("name", f"a{character}b", at_most=9)
    assert complaints(checks) == [FieldViolation("name", "must not hold control characters")]


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand\r\na tab",
        "Zoë",
        "東京\u3000駅",
        "prix\u202f: 5\u00a0€",
        "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645",
        "👩\u200d👧",
    ],
)
def test_a_text_may_be_in_any_script(text: str) -> None:
    checks = FieldChecks()
    checks.text("name", text, at_least=1, at_most=40)
    assert not complaints(checks)


def test_a_pattern_must_match_the_whole_value() -> None:
    checks = FieldChecks()
    checks.matches("code", "EURO", re.compile("[A-Z]{3}"), "must be three letters")
    assert complaints(checks) == [FieldViolation("code", "must be three letters")]
