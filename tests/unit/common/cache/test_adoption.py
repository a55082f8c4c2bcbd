"""When servers are trusted, and what becomes of what they hold."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

import pytest

from services.common.cache.adoption import Adoption, NotAdoptedYetError
from services.common.cache.lookup import Lookup
from services.common.redis.servers import RedisServers
from tests.unit.common.fakes import FakeClock

NAME: Lookup[str] = Lookup("name", str)
MARK = "adopted:name"
OLD, NEW, OTHER = "old:1", "new:1", "other:1"
Deletion = tuple[str, frozenset[str]]


@dataclass
class FakeServers:
    """Servers that remember what was done to them."""

    texts: dict[str, str] = field(default_factory=dict)
    deletions: list[Deletion] = field(default_factory=list)
    trusted: list[frozenset[str]] = field(default_factory=list)
    broken: bool = False

    async def noted(self, key: str) -> str | None:
        return self.texts.get(key)

    async def note(self, key: str, text: str) -> None:
        self.texts[key] = text

    async def trust(self, reigns: frozenset[str]) -> None:
        self.trusted.append(reigns)

    async def delete(self, pattern: str, reigns: Collection[str] | None = None) -> None:
        if self.broken:
            raise ConnectionError("lost")
        assert reigns is not None
        self.deletions.append((pattern, frozenset(reigns)))


def everything(*reigns: str) -> list[Deletion]:
    return [("{name:*}:lease", frozenset(reigns)), ("name:*", frozenset(reigns))]


@pytest.fixture
def servers() -> FakeServers:
    return FakeServers()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def adoption(servers: FakeServers, clock: FakeClock) -> Adoption:
    return Adoption(cast("RedisServers", servers), NAME, clock)


async def adopted_at_last(adoption: Adoption, clock: FakeClock, *reigns: str) -> None:
    with pytest.raises(NotAdoptedYetError):
        await adoption.adopt(frozenset(reigns))
    clock.now += 1.0
    await adoption.adopt(frozenset(reigns))


async def test_a_server_that_nobody_has_adopted_is_emptied_first_leases_before_values(
    adoption: Adoption, servers: FakeServers
) -> None:
    await adoption.adopt(frozenset([NEW]))
    assert servers.deletions == everything(NEW)
    assert servers.texts == {MARK: NEW}
    assert servers.trusted == [{NEW}]


async def test_a_server_that_another_process_has_adopted_is_trusted_as_it_is(
    adoption: Adoption, servers: FakeServers
) -> None:
    servers.texts[MARK] = NEW
    await adoption.adopt(frozenset([NEW]))
    assert not servers.deletions
    assert servers.trusted == [{NEW}]


async def test_a_server_with_the_mark_of_another_is_left_alone_for_a_second_and_then_emptied(
    adoption: Adoption, servers: FakeServers, clock: FakeClock
) -> None:
    servers.texts[MARK] = OLD
    for _ in range(2):
        with pytest.raises(NotAdoptedYetError):
            await adoption.adopt(frozenset([NEW]))
        clock.now += 0.4
    assert not servers.trusted
    assert not servers.deletions
    clock.now += 0.2
    await adoption.adopt(frozenset([NEW]))
    assert servers.deletions == everything(NEW)
    assert servers.texts == {MARK: NEW}
    assert servers.trusted == [{NEW}]


async def test_the_second_begins_anew_when_yet_another_server_answers(
    adoption: Adoption, servers: FakeServers, clock: FakeClock
) -> None:
    servers.texts[MARK] = OLD
    with pytest.raises(NotAdoptedYetError):
        await adoption.adopt(frozenset([OTHER]))
    clock.now += 0.9
    await adopted_at_last(adoption, clock, NEW)
    assert servers.trusted == [{NEW}]


async def test_of_several_servers_only_those_are_emptied_that_are_new(
    adoption: Adoption, servers: FakeServers, clock: FakeClock
) -> None:
    servers.texts[MARK] = f"{OLD}\n{OTHER}"
    await adopted_at_last(adoption, clock, NEW, OTHER)
    assert servers.deletions == everything(NEW)
    assert servers.texts == {MARK: f"{NEW}\n{OTHER}"}


async def test_when_one_of_several_servers_goes_nothing_is_deleted(
    adoption: Adoption, servers: FakeServers, clock: FakeClock
) -> None:
    servers.texts[MARK] = f"{OLD}\n{OTHER}"
    await adopted_at_last(adoption, clock, OTHER)
    assert not servers.deletions
    assert servers.trusted == [{OTHER}]


async def test_what_could_not_be_emptied_is_not_trusted(
    adoption: Adoption, servers: FakeServers
) -> None:
    servers.broken = True
    with pytest.raises(ConnectionError):
        await adoption.adopt(frozenset([NEW]))
    assert not servers.trusted
    assert not servers.texts


async def test_a_mark_that_is_gone_is_put_back_and_nothing_is_deleted_for_it(
    adoption: Adoption, servers: FakeServers
) -> None:
    servers.texts[MARK] = NEW
    await adoption.adopt(frozenset([NEW]))
    servers.texts.clear()
    await adoption.adopt(frozenset([NEW]))
    assert servers.texts == {MARK: NEW}
    assert not servers.deletions
    assert servers.trusted == [{NEW}]
