from services.common.cache.lookup import Lookup
from services.common.snapshot import Snapshot


class Reader:
    """Turns a value into text, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def text(self, value: str) -> str:
        self.times += 1
        return f"<{value}>"


def kept(value: str, decoded: list[str]) -> Snapshot[str]:
    """The snapshot that a cache keeps, and what was read again from its JSON."""

    class Noted(Lookup[str]):
        def again(self, raw: bytes) -> str:
            decoded.append(super().again(raw))
            return decoded[-1]

    snapshot = Noted("name", str).entry("1", Snapshot(value)).snapshot
    assert snapshot is not None
    return snapshot


def test_a_value_is_shown_once_however_often_it_is_asked_for() -> None:
    reader, snapshot = Reader(), Snapshot("Ada")
    make = reader.text
    assert [snapshot.shown(make) for _ in range(3)] == ["<Ada>"] * 3
    assert reader.times == 1
    assert snapshot.value == "Ada"


def test_what_shows_it_otherwise_shows_it_anew() -> None:
    snapshot = Snapshot("Ada")
    assert snapshot.shown(str.upper) == "ADA"
    assert snapshot.shown(str.lower) == "ada"
    assert snapshot.shown(str.upper) == "ADA"


def test_what_is_shown_may_be_nothing() -> None:
    asked: list[str] = []

    def make(value: str) -> None:
        asked.append(value)

    snapshot = Snapshot("Ada")
    for _ in range(2):
        snapshot.shown(make)
    assert asked == ["Ada"]


def test_of_what_a_cache_keeps_the_value_is_read_again_once_it_was_shown() -> None:
    decoded: list[str] = []
    snapshot = kept("Ada", decoded)
    assert snapshot.value == "Ada"
    assert decoded == []
    assert snapshot.shown(str.upper) == snapshot.shown(str.upper) == "ADA"
    assert decoded == []
    assert snapshot.value == "Ada"
    assert decoded == ["Ada"]


def test_what_a_cache_keeps_can_be_shown_otherwise_after_it_was_shown() -> None:
    decoded: list[str] = []
    snapshot = kept("Ada", decoded)
    snapshot.shown(str.upper)
    assert snapshot.shown(str.lower) == "ada"
    assert snapshot.shown(str.lower) == "ada"
    assert decoded == ["Ada"]
