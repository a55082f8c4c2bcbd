"""Which store servers the stack takes, and what it says when there is none."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from services.stack import binaries
from services.stack.binaries import find_mongod, find_redis_server
from services.stack.errors import StackError

Install = Callable[[str, str], Path]

MONGOD_6 = "echo 'db version v6.0.5'"
MONGOD_5 = "echo 'db version v5.0.31'"
REDIS_7 = "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64'"
REDIS_6 = "echo 'Redis server v=6.2.16 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64'"
VALKEY_8 = "echo 'Valkey server v=8.1.4 sha=00000000:0 malloc=libc bits=64'"
NO_LIBRARY = "echo 'libcurl.so.4: cannot open shared object file' >&2; exit 127"
HANGS = "exec sleep 30"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a server on a PATH that has nothing else; no packages are there unless put there."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _package: None)

    def put(name: str, script: str) -> Path:
        binary = tmp_path / "bin" / name
        binary.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        binary.chmod(0o755)
        return binary

    return put


@pytest.fixture
def packaged(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a server into a package as well."""

    class Spec:
        submodule_search_locations = (str(tmp_path),)

    def put(pattern: str, script: str) -> Path:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _package: Spec)
        binary = tmp_path / pattern
        binary.parent.mkdir(parents=True)
        return install("new", script).rename(binary)

    return put


async def test_a_server_on_the_path_goes_before_that_of_the_package(
    install: Install, packaged: Install
) -> None:
    packaged("db/bin/mongod", MONGOD_6)
    on_path = install("mongod", MONGOD_6)
    assert await find_mongod() == on_path


async def test_redis_goes_before_valkey_and_valkey_before_the_package(
    install: Install, packaged: Install
) -> None:
    in_package = packaged("_binaries/linux/valkey-server", VALKEY_8)
    assert await find_redis_server() == in_package
    valkey = install("valkey-server", VALKEY_8)
    assert await find_redis_server() == valkey
    redis = install("redis-server", REDIS_7)
    assert await find_redis_server() == redis


@pytest.mark.parametrize("script", [MONGOD_5, NO_LIBRARY, "echo 'no version'"])
async def test_a_mongod_on_the_path_that_will_not_do_is_passed_over(
    script: str, install: Install, packaged: Install
) -> None:
    install("mongod", script)
    in_package = packaged("db/bin/mongod", MONGOD_6)
    assert await find_mongod() == in_package


async def test_a_redis_with_which_the_cache_cannot_work_is_passed_over(
    install: Install, packaged: Install
) -> None:
    install("redis-server", REDIS_6)
    in_package = packaged("_binaries/linux/valkey-server", VALKEY_8)
    assert await find_redis_server() == in_package


async def test_a_server_that_hangs_is_not_waited_for(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_ANSWER_WITHIN_S", 0.2)
    install("mongod", HANGS)
    with pytest.raises(StackError, match="does not answer when asked for its version"):
        await find_mongod()


async def test_without_a_mongod_that_runs_it_is_said_why_and_what_to_install_or_set(
    install: Install, packaged: Install
) -> None:
    old, broken = install("mongod", MONGOD_5), packaged("db/bin/mongod", NO_LIBRARY)
    with pytest.raises(StackError) as refused:
        await find_mongod()
    said = str(refused.value)
    assert f"{old}: db version v5.0.31" in said
    assert f"{broken}: libcurl.so.4: cannot open shared object file" in said
    assert "apt-get install libcurl4 libssl3" in said
    assert "SHOP_MONGO_URI" in said


async def test_on_a_platform_without_packages_it_is_said_what_to_install_or_set(
    install: Install,
) -> None:
    for find, variable in ((find_mongod, "SHOP_MONGO_URI"), (find_redis_server, "SHOP_REDIS_URL")):
        with pytest.raises(StackError) as refused:
            await find()
        assert "the wheels of this platform bring no server" in str(refused.value)
        assert variable in str(refused.value)
