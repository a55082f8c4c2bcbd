"""Histograms are read as HdrHistogram wrote them."""

import base64
import struct
import zlib
from random import Random

import pytest

from loadtests.encoded_histogram import UnreadableHistogramError, recorded
from tests.loadtests.support.histograms import encoded

# What the Python package hdrhistogram 0.10.8 encodes for 0, 2047, 2048, 2050, 1000000, 59999999
# and 1, once each, and 100, 40000 times; and for nothing.
AS_HDRHISTOGRAM_WRITES = (
    "HISTFAAAADJ4nJNpmSzMwMAAwiDADKUZwZzJ7Qz2HyACTEyHGRs+smyWY2Ji2tvHyNQZxwQAxN0I9Q=="
)
EMPTY = "HISTFAAAABt4nJNpmSzMgADMUJoRzJnczmD/ASIAAEXUA5c="


def test_what_hdrhistogram_wrote_is_read() -> None:
    found = recorded(AS_HDRHISTOGRAM_WRITES)
    assert [count for _, count in found] == [1, 1, 40_000, 1, 1, 1, 1, 1]
    exact = [0, 1, 100, 2_047, 2_048, 2_050, 1_000_000, 59_999_999]
    assert [value for value, _ in found] == pytest.approx(exact, rel=0.001)


def test_an_empty_histogram_has_recorded_nothing() -> None:
    assert recorded(EMPTY) == []
    assert recorded(encoded([])) == []


def test_each_value_is_read_to_a_thousandth() -> None:
    draws = Random(7)  # noqa: S311
    values = sorted(round(draws.lognormvariate(7, 3)) for _ in range(5_000))
    found = [value for value, count in recorded(encoded(values)) for _ in range(count)]
    assert len(found) == len(values)
    assert found == pytest.approx(values, rel=0.001)


def broken(payload: bytes, cookie: int = 0x1C849314) -> str:
    deflated = zlib.compress(payload)
    return base64.b64encode(struct.pack(">II", cookie, len(deflated)) + deflated).decode()


def header(length: int, cookie: int = 0x1C849313, figures: int = 3) -> bytes:
    return struct.pack(">IIIIQQd", cookie, length, 0, figures, 1, 1_000_000, 1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not base64!", "not base64"),
        ("", "ends within its first header"),
        (base64.b64encode(b"12345678").decode(), "cookie is 0x31323334"),
        (AS_HDRHISTOGRAM_WRITES[:-8] + "AAAA", "not as long as it says"),
        (base64.b64encode(struct.pack(">II", 0x1C849314, 4) + b"1234").decode(), "inflated"),
        (broken(b"short"), "ends within its header"),
        (broken(header(0, cookie=0x1C849301)), "not version 2"),
        (broken(header(0, figures=9)), "impossible settings"),
        (broken(header(5) + b"1234"), "shorter than it says"),
        (broken(header(1) + b"\x80"), "cut off"),
    ],
)
def test_what_is_no_histogram_says_why(text: str, said: str) -> None:
    with pytest.raises(UnreadableHistogramError, match=said):
        recorded(text)
