"""Finding the primary: scripted sentinels and servers, each a socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from services.common.redis import sentinel as module
from services.common.redis.reign import StrangerError
from services.common.redis.sentinel import WORD_S, SentinelRedis, sentinel_clients
from services.common.redis.servers import Item, RedisOptions
from tests.unit.common.fakes import FakeClock

HOST = "127.0.0.1"
NAME = "shop"
PATIENT_MS = 10_000
NOWHERE = 1
NOTHING = b"*-1\r\n"
READONLY = b"-READONLY You can't write against a read only replica.\r\n"


@dataclass
class Peer:
    """Answers each command with what ``answer`` says; None leaves it unanswered."""

    answer: Callable[[list[bytes]], bytes | None]
    port: int = 0
    heard: list[list[bytes]] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while command := await self._command(reader):
            self.heard.append(command)
            known = command[0] in {b"SENTINEL", b"INFO", b"EVAL"}
            answer = self.answer(command) if known else b"+OK\r\n"
            if answer is not None:
                writer.write(answer)
        writer.close()

    def was_asked(self, command: bytes) -> int:
        return [words[0] for words in self.heard].count(command)

    async def _command(self, reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        parts = []
        for _ in range(int(head[1:]) if head else 0):
            length = int((await reader.readline())[1:])
            parts.append((await reader.readexactly(length + 2))[:-2])
        return parts


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[Peer]:
    server = await asyncio.start_server(peer.serve, HOST, 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()
        await server.wait_closed()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def naming(server: Peer) -> Callable[[list[bytes]], bytes]:
    return lambda _: b"*2\r\n" + bulk(HOST) + bulk(str(server.port))


def a_server(name: str, role: str = "master") -> Peer:
    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"EVAL":
            return b"*1\r\n" + bulk(name)
        return bulk(f"# Server\r\nrun_id:{name}\r\nrole:{role}\r\nmaster_replid:1\r\n")

    return Peer(answer)


def silent(_command: list[bytes]) -> None:
    """Leave it unanswered."""


@dataclass
class House:
    """Two servers and three sentinels, all of whom name the first at first."""

    servers: list[Peer]
    sentinels: list[Peer]
    redis: SentinelRedis

    def name(self, server: int, *sentinels: int) -> None:
        for number in sentinels:
            self.sentinels[number].answer = naming(self.servers[server])

    async def meet(self) -> None:
        """Ask who is the primary, and trust it."""
        await self.redis.trust(await self.redis.identity())

    async def run(self) -> str:
        """Return who ran a script."""
        (answer,) = await self.redis.run("script", [Item(("key",))])
        return str(answer, "ascii")


@pytest.fixture
async def house(clock: FakeClock) -> AsyncIterator[House]:
    """One in which no word grows old by itself."""
    async with opened_house(PATIENT_MS) as opened:
        yield opened


@asynccontextmanager
async def opened_house(timeout_ms: int) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(listening(a_server(name))) for name in "ab"]
        sentinels = [
            await stack.enter_async_context(listening(Peer(naming(servers[0])))) for _ in range(3)
        ]
        hosts = ",".join(f"{HOST}:{peer.port}" for peer in sentinels)
        options = RedisOptions(f"redis://{hosts}", timeout_ms, sentinel=NAME)
        redis = SentinelRedis(sentinel_clients(options), options)
        stack.push_async_callback(redis.close)
        yield House(servers, sentinels, redis)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


async def test_scripts_run_on_the_server_that_the_sentinels_name(house: House) -> None:
    await house.meet()
    assert await house.run() == "a"
    assert house.sentinels[0].heard[-1] == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"shop"]


async def test_before_the_sentinels_were_asked_nothing_is_done(house: House) -> None:
    for use in (house.run, house.redis.links, house.redis.ping):
        with pytest.raises(RedisConnectionError):
            await use()


async def test_a_majority_is_enough_and_nobody_waits_for_a_sentinel_that_hangs(
    house: House,
) -> None:
    house.sentinels[1].answer = silent
    async with asyncio.timeout(PATIENT_MS / 1000 - 1):
        await house.meet()
        assert await house.run() == "a"


@pytest.mark.parametrize("answer", [NOTHING, b"-NOAUTH Authentication required.\r\n"])
async def test_without_a_majority_there_is_no_primary_and_it_is_told_why(
    house: House, answer: bytes
) -> None:
    house.name(1, 0)
    house.sentinels[1].answer = lambda _: answer
    with pytest.raises(RedisConnectionError, match="no majority") as told:
        await house.redis.identity()
    named = sorted(server.port for server in house.servers)
    assert all(f"{port}" in str(told.value) for port in named)
    assert ("nothing called shop" if answer == NOTHING else "Authentication") in str(told.value)


async def test_sentinels_that_all_hang_are_waited_for_within_the_timeout() -> None:
    async with opened_house(timeout_ms=50) as house:
        for sentinel in house.sentinels:
            sentinel.answer = silent
        async with asyncio.timeout(10):
            with pytest.raises(RedisConnectionError, match="no majority"):
                await house.redis.identity()


async def test_the_word_of_the_sentinels_is_good_for_a_while_from_the_question_and_no_longer(
    house: House, clock: FakeClock
) -> None:
    await house.meet()
    clock.now += WORD_S - 0.01
    assert await house.run() == "a"
    clock.now += 0.01
    with pytest.raises(RedisConnectionError, match="not heard of"):
        await house.run()
    assert house.servers[0].was_asked(b"EVAL") == 1
    await house.redis.identity()
    assert await house.run() == "a"


async def test_another_primary_is_used_once_it_is_trusted_and_whoever_listened_is_told(
    house: House,
) -> None:
    await house.meet()
    (link,) = await house.redis.links()
    assert link.port == house.servers[0].port
    told = asyncio.create_task(house.redis.rearranged())
    house.name(1, 0, 1)
    reigns = await house.redis.identity()
    async with asyncio.timeout(10):
        await told
    with pytest.raises(StrangerError):
        await house.run()
    await house.redis.trust(reigns)
    assert await house.run() == "b"
    assert house.servers[0].was_asked(b"EVAL") == 0
    (link,) = await house.redis.links()
    assert link.port == house.servers[1].port


async def test_one_sentinel_that_is_ahead_moves_nobody(house: House) -> None:
    await house.meet()
    house.name(1, 2)
    await house.redis.identity()
    assert await house.run() == "a"


async def test_who_waits_for_the_former_primary_gets_an_error(house: House) -> None:
    house.servers[0].answer = a_server("a").answer
    await house.meet()
    usual = house.servers[0].answer
    house.servers[0].answer = lambda command: None if command[0] == b"EVAL" else usual(command)
    waiting = asyncio.create_task(house.run())
    async with asyncio.timeout(10):
        while not house.servers[0].was_asked(b"EVAL"):  # noqa: ASYNC110 (a socket)
            await asyncio.sleep(0.001)
        house.name(1, 0, 1, 2)
        await house.redis.identity()
        with pytest.raises(RedisConnectionError):
            await waiting


async def test_a_server_that_calls_itself_a_replica_is_no_primary_whatever_sentinels_say(
    house: House,
) -> None:
    house.servers[0].answer = a_server("a", role="slave").answer
    with pytest.raises(RedisConnectionError, match="is a replica"):
        await house.redis.identity()
    with pytest.raises(RedisConnectionError, match="not heard of"):
        await house.run()


async def test_a_server_that_does_not_say_who_it_is_is_not_used(house: House) -> None:
    house.servers[0].answer = lambda _: bulk("role:master\r\n")
    with pytest.raises(RedisConnectionError, match="INFO does not tell 'run_id'"):
        await house.redis.identity()


async def test_after_a_server_refused_to_write_nothing_is_asked_of_it_until_the_sentinels_are(
    house: House,
) -> None:
    await house.meet()
    usual = house.servers[0].answer
    house.servers[0].answer = lambda command: READONLY if command[0] == b"EVAL" else usual(command)
    with pytest.raises(ResponseError, match="read only replica"):
        await house.run()
    with pytest.raises(RedisConnectionError, match="not heard of"):
        await house.run()
    assert house.servers[0].was_asked(b"EVAL") == 1
    house.servers[0].answer = usual
    await house.redis.identity()
    assert await house.run() == "a"


async def test_a_server_that_answers_as_another_than_the_trusted_one_runs_no_script(
    house: House,
) -> None:
    await house.meet()
    assert await house.run() == "a"
    house.servers[0].answer = a_server("restarted").answer
    for writer in house.servers[0].writers:
        writer.transport.abort()
    async with asyncio.timeout(10):
        while True:
            try:
                await house.run()
            except StrangerError:
                break
            except RedisConnectionError:
                await asyncio.sleep(0.001)
    assert house.servers[0].was_asked(b"EVAL") == 1


async def test_sentinels_that_are_not_there_are_a_connection_error() -> None:
    options = RedisOptions(f"redis://{HOST}:{NOWHERE}", PATIENT_MS, sentinel=NAME)
    redis = SentinelRedis(sentinel_clients(options), options)
    with pytest.raises(RedisConnectionError, match="no majority"):
        await redis.identity()
    await redis.close()
