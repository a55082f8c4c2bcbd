"""Headers as they are written and read, with the examples of RFC 7541."""

import pytest

from bench.hpack import UnreadableHeadersError, call_headers, unhuffed, values


@pytest.mark.parametrize(
    ("coded", "text"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("25a849e95bb8e8b4bf", "custom-value"),
        ("aec3771a4b", "private"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("640eff", "307"),
        ("", ""),
    ],
)
def test_huffman_codes_are_read(coded: str, text: str) -> None:
    assert unhuffed(bytes.fromhex(coded)) == text


@pytest.mark.parametrize("coded", ["fe3f", "06", "07ff"])
def test_rare_characters_and_wrong_padding_cannot_be_read(coded: str) -> None:
    assert unhuffed(bytes.fromhex(coded)) is None


def test_a_call_is_spelt_out_and_read_back() -> None:
    token = "t" * 400
    block = call_headers("host:1", "/a.B/C", (("authorization", token), ("cache-control", "x")))
    names = ("te", "authorization", "cache-control", "absent")
    assert values(block, names) == {
        "te": "trailers",
        "authorization": token,
        "cache-control": "x",
    }


@pytest.mark.parametrize(
    "block",
    [
        "000b677270632d73746174757301" + "30",  # grpc-status, plain
        "400b677270632d73746174757301" + "30",  # to be remembered, which nobody does
        "3f" + "e11f" + "88" + "000b677270632d73746174757301" + "30",  # a new size, :status first
        "0088" + "9acac8b21234da8f" + "8107",  # Huffman codes
        "0f0d" + "0131" + "000b677270632d7374617475730130",  # a value under a static name first
    ],
)
def test_a_status_is_found_in_whatever_form_it_comes(block: str) -> None:
    assert values(bytes.fromhex(block), ["grpc-status"]) == {"grpc-status": "0"}


def test_a_status_within_another_header_is_none() -> None:
    hidden = b"\x00\x0bgrpc-status\x010"
    block = b"\x00\x01a" + bytes((len(hidden),)) + hidden
    assert values(block, ["grpc-status"]) == {}


@pytest.mark.parametrize("block", ["be", "80", "7e0130", "00", "000b67", "0001", "007fff", "ff"])
def test_headers_that_break_the_rules_are_refused(block: str) -> None:
    with pytest.raises(UnreadableHeadersError):
        values(bytes.fromhex(block), ["grpc-status"])


def test_headers_beyond_one_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        call_headers("host:1", "/a.B/C", (("authorization", "t" * 20_000),))
