import asyncio
import errno
import socket

import pytest

from services.common.rpc.listener import stop_listening


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readexactly(2))
    writer.close()


async def test_no_new_connection_is_taken_and_those_that_are_there_go_on() -> None:
    other = await asyncio.start_server(echo, "127.0.0.1", 0)
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port, other_port = (each.sockets[0].getsockname()[1] for each in (server, other))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"h")

    stop_listening(port)

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"i")
    assert await reader.readexactly(2) == b"hi"
    writer.close()
    _, still = await asyncio.open_connection("127.0.0.1", other_port)
    still.close()
    for each in (server, other):
        each.close()


async def test_the_port_can_be_had_by_another_at_once() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stop_listening(port)
    with socket.create_server(("127.0.0.1", port)):
        pass
    server.close()


async def test_a_process_that_may_open_nothing_more_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_address: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(socket, "create_server", full)
    stop_listening(port)
    _, still = await asyncio.open_connection("127.0.0.1", port)
    still.close()
    server.close()
