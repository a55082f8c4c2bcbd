"""One connection for all scripts: a fake server answers, late, wrongly or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.common.redis.one import OneRedis, client_of
from services.common.redis.servers import Item, RedisOptions
from tests.patience import until

PATIENT_MS = 30_000
SOON_S = 0.05
"""How long an answer is waited for where none comes; connections are still waited for longer."""
OK = b"+OK\r\n"


@dataclass
class FakeRedis:
    """Greets whoever connects, and does with each script what ``answer`` says."""

    answer: Callable[[bytes, asyncio.StreamWriter], None]
    port: int = 0
    connections: int = 0
    scripts: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while command := await self._command(reader):
            if command[0] == b"EVAL":
                self.scripts.append(command[1])
                self.answer(command[1], writer)
            else:
                writer.write(OK)
        writer.close()

    async def _command(self, reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        parts = []
        for _ in range(int(head[1:]) if head else 0):
            length = int((await reader.readline())[1:])
            parts.append((await reader.readexactly(length + 2))[:-2])
        return parts


@asynccontextmanager
async def redis_that(
    answer: Callable[[bytes, asyncio.StreamWriter], None],
) -> AsyncIterator[tuple[FakeRedis, OneRedis]]:
    fake = FakeRedis(answer)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = RedisOptions(f"redis://127.0.0.1:{port}", PATIENT_MS)
    redis = OneRedis(client_of(options), options.timeout_s)
    try:
        yield fake, redis
    finally:
        await redis.close()
        server.close()
        for writer in fake.writers:
            writer.transport.abort()
        await server.wait_closed()


def echo(script: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"*1\r\n$%d\r\n%b\r\n" % (len(script), script))


def nothing(_script: bytes, _writer: asyncio.StreamWriter) -> None:
    """Leave it unanswered."""


def cut(_script: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"*1\r\n$100\r\nhalf of")
    writer.close()


async def run(redis: OneRedis, script: str = "first") -> list[bytes]:
    return list(await redis.run(script, [Item(("key",))]))


async def test_scripts_asked_at_once_share_a_connection_and_get_their_own_answers() -> None:
    async with redis_that(echo) as (fake, redis):
        names = [f"script {number}" for number in range(50)]
        answers = await asyncio.gather(*[run(redis, name) for name in names])
        assert answers == [[name.encode()] for name in names]
        assert fake.connections == 1


async def test_who_stops_waiting_leaves_the_answers_of_the_others_alone() -> None:
    held: list[tuple[bytes, asyncio.StreamWriter]] = []
    async with redis_that(lambda *asked: held.append(asked)) as (fake, redis):
        waiting = [asyncio.create_task(run(redis, name)) for name in ("one", "two", "three")]
        await until(lambda: len(held) == 3)
        waiting[1].cancel()
        await asyncio.sleep(0)
        for asked in held:
            echo(*asked)
        assert await waiting[0] == [b"one"]
        assert await waiting[2] == [b"three"]
        assert waiting[1].cancelled()
        assert fake.connections == 1


async def test_a_script_that_is_not_answered_in_time_fails_with_all_behind_it() -> None:
    async with redis_that(nothing) as (fake, redis):
        redis._timeout_s = SOON_S
        results = await asyncio.gather(run(redis), run(redis), return_exceptions=True)
        assert [type(result) for result in results] == [RedisTimeoutError] * 2
        redis._timeout_s = PATIENT_MS / 1000
        fake.answer = echo
        assert await run(redis, "later") == [b"later"]
        assert fake.connections == 2


async def test_a_script_that_is_given_up_and_never_answered_ends_the_connection_too() -> None:
    async with redis_that(nothing) as (fake, redis):
        redis._timeout_s = SOON_S
        waiting = asyncio.create_task(run(redis))
        await until(lambda: len(fake.scripts) == 1)
        waiting.cancel()
        await until(fake.writers[0].transport.is_closing)


async def test_a_connection_cut_in_an_answer_is_an_error_and_the_next_script_gets_a_new_one() -> (
    None
):
    async with redis_that(cut) as (fake, redis):
        with pytest.raises(RedisConnectionError, match="was lost"):
            await run(redis)
        fake.answer = echo
        assert await run(redis, "later") == [b"later"]
        assert fake.connections == 2


async def test_a_connection_lost_between_scripts_is_replaced_unnoticed() -> None:
    async with redis_that(echo) as (fake, redis):
        await run(redis)
        fake.writers[0].transport.abort()
        await until(lambda: redis._wire is None or redis._wire.lost)
        assert await run(redis, "later") == [b"later"]


async def test_a_refusal_is_raised_and_the_connection_is_kept() -> None:
    refusal = b"-READONLY You can't write against a read only replica.\r\n"
    async with redis_that(lambda _, writer: writer.write(refusal)) as (fake, redis):
        for _ in range(2):
            with pytest.raises(ResponseError, match="read only replica"):
                await run(redis)
        assert fake.connections == 1


async def test_what_is_no_answer_ends_the_connection() -> None:
    async with redis_that(lambda _, writer: writer.write(b"HTTP/1.1 400\r\n")) as (fake, redis):
        with pytest.raises(RedisConnectionError, match="does not speak Redis"):
            await run(redis)
        fake.answer = echo
        assert await run(redis, "later") == [b"later"]


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    twice = b"*1\r\n+one\r\n*1\r\n+another\r\n"
    async with redis_that(lambda _, writer: writer.write(twice)) as (fake, redis):
        assert await run(redis) == [b"one"]
        fake.answer = echo
        assert await run(redis, "later") == [b"later"]
        assert fake.connections == 2


async def test_many_who_find_the_connection_lost_open_one_together() -> None:
    async with redis_that(echo) as (fake, redis):
        impatient = asyncio.create_task(run(redis))
        others = [asyncio.create_task(run(redis)) for _ in range(20)]
        await asyncio.sleep(0)
        impatient.cancel()
        assert await asyncio.gather(*others) == [[b"first"]] * 20
        assert fake.connections == 1


async def test_a_server_that_is_not_there_is_a_connection_error_each_time() -> None:
    options = RedisOptions("redis://127.0.0.1:1", PATIENT_MS)
    redis = OneRedis(client_of(options), options.timeout_s)
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            await run(redis)
    await redis.close()
