import os
import stat
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from services.common.auth.keys import load_signing_key, load_trusted_keys
from services.keyring import files, ring
from services.keyring.ring import ISSUERS, KeyState, Ring, RingError, RingKey, Waits
from tests.unit.common.fakes import FakeClock

WAITS = Waits(reach_s=30, lifetimes_s={"user": 900, "order": 300})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(folder: Path, clock: FakeClock) -> Ring:
    made = Ring(folder, clock)
    made.init()
    return made


def of(keys: Ring, issuer: str) -> dict[KeyState, RingKey]:
    return {key.state: key for key in keys.all_keys() if key.issuer == issuer}


def trusted(keys: Ring) -> set[str]:
    return set(load_trusted_keys(keys.trusted_keys))


def signing(keys: Ring, issuer: str = "user") -> str:
    return load_signing_key(keys.signing_key(issuer)).key_id


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- init


def test_init_makes_a_signing_key_for_every_issuer_and_trusts_them(
    folder: Path, clock: FakeClock
) -> None:
    keys = Ring(folder, clock)
    assert set(keys.init()) == {"user.pem", "order.pem", "trusted-keys.json"}
    assert trusted(keys) == {signing(keys, issuer) for issuer in ISSUERS}
    assert {key.issuer: key.state for key in keys.all_keys()} == {
        "user": KeyState.SIGNS,
        "order": KeyState.SIGNS,
    }
    assert {key.added for key in keys.all_keys()} == {int(clock())}


def test_what_signs_is_for_its_owner_alone_and_what_is_public_for_all(
    folder: Path, keys: Ring
) -> None:
    keys.add("user")
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "user.pem": 0o600,
        "user.next.pem": 0o600,
        "order.pem": 0o600,
        "trusted-keys.json": 0o644,
    }
    assert mode(folder) == 0o700


def test_init_again_changes_nothing_whatever_stage_a_key_is_in(
    folder: Path, keys: Ring, clock: FakeClock
) -> None:
    for step in (
        lambda: keys.add("user"),
        lambda: keys.use("user", WAITS, now=True),
        lambda: keys.retire("user", WAITS, now=True),
    ):
        step()
        before = contents(folder)
        clock.now += 1
        assert keys.init() == []
        assert contents(folder) == before


def test_a_lost_signing_key_is_made_anew_and_the_old_one_stays_trusted_until_it_is_retired(
    keys: Ring, clock: FakeClock
) -> None:
    lost = signing(keys)
    keys.signing_key("user").unlink()
    assert keys.init() == ["user.pem", "trusted-keys.json"]
    assert trusted(keys) > {lost, signing(keys)}
    assert of(keys, "user")[KeyState.TRUSTED].replaced == int(clock())


def test_lost_trusted_keys_are_made_anew_from_the_signing_keys(keys: Ring) -> None:
    staged = keys.add("order").key_id
    keys.trusted_keys.unlink()
    assert keys.init() == ["trusted-keys.json"]
    assert trusted(keys) == {signing(keys, "user"), signing(keys, "order"), staged}


def test_keys_of_issuers_that_are_not_ours_are_left_alone(keys: Ring) -> None:
    entries = orjson.loads(keys.trusted_keys.read_bytes())["keys"]
    other = {**entries[0], "iss": "warehouse", "kid": "other"}
    keys.trusted_keys.write_bytes(orjson.dumps({"keys": [*entries, other]}))
    keys.init()
    keys.add("user")
    assert other in orjson.loads(keys.trusted_keys.read_bytes())["keys"]


# ---- the three steps


def test_a_staged_key_is_trusted_and_does_not_sign(keys: Ring) -> None:
    before = signing(keys)
    staged = keys.add("user")
    assert staged.state is KeyState.STAGED
    assert trusted(keys) > {before, staged.key_id}
    assert signing(keys) == before


def test_a_used_key_signs_and_the_old_one_stays_trusted(keys: Ring, clock: FakeClock) -> None:
    old, staged = signing(keys), keys.add("user")
    clock.now += WAITS.reach_s
    assert keys.use("user", WAITS).key_id == staged.key_id
    assert signing(keys) == staged.key_id
    assert trusted(keys) > {old, staged.key_id}
    assert of(keys, "user")[KeyState.TRUSTED].replaced == int(clock())


def test_a_retired_key_is_trusted_no_more(keys: Ring, clock: FakeClock) -> None:
    old, staged = signing(keys), keys.add("user")
    keys.use("user", WAITS, now=True)
    clock.now += WAITS.reach_s + 900
    assert keys.retire("user", WAITS) == [old]
    assert trusted(keys) == {staged.key_id, signing(keys, "order")}


def test_rolling_one_issuer_leaves_the_other_alone(keys: Ring) -> None:
    keys.add("order")
    staged = keys.add("user").key_id
    other = of(keys, "order")
    keys.use("user", WAITS, now=True)
    keys.retire("user", WAITS, now=True)
    assert signing(keys) == staged
    assert of(keys, "order") == other


# ---- too early


def test_a_key_is_not_used_before_everybody_can_have_read_that_it_is_to_be_trusted(
    keys: Ring, clock: FakeClock
) -> None:
    before = signing(keys)
    keys.add("user")
    clock.now += WAITS.reach_s - 1
    with pytest.raises(RingError, match="try again in 1 s"):
        keys.use("user", WAITS)
    assert signing(keys) == before


@pytest.mark.parametrize(("issuer", "lifetime_s"), WAITS.lifetimes_s.items())
def test_a_key_is_not_retired_before_its_last_token_has_ended(
    keys: Ring, clock: FakeClock, issuer: str, lifetime_s: float
) -> None:
    keys.add(issuer)
    keys.use(issuer, WAITS, now=True)
    before = trusted(keys)
    clock.now += WAITS.reach_s + lifetime_s - 1
    with pytest.raises(RingError, match="try again in 1 s"):
        keys.retire(issuer, WAITS)
    assert trusted(keys) == before
    clock.now += 1
    keys.retire(issuer, WAITS)


def test_of_keys_that_are_not_known_to_have_waited_none_is_retired(keys: Ring) -> None:
    entries = orjson.loads(keys.trusted_keys.read_bytes())["keys"]
    foreign = {**entries[0], "kid": "from elsewhere"}
    keys.trusted_keys.write_bytes(orjson.dumps({"keys": [*entries, foreign]}))
    with pytest.raises(RingError, match="nothing says since when"):
        keys.retire(foreign["iss"], WAITS)
    assert keys.retire(foreign["iss"], WAITS, now=True) == ["from elsewhere"]


# ---- what cannot be


def test_a_second_key_is_not_staged_beside_the_first(folder: Path, keys: Ring) -> None:
    keys.add("user")
    before = contents(folder)
    with pytest.raises(RingError, match="staged already"):
        keys.add("user")
    assert contents(folder) == before


def test_without_a_staged_key_there_is_none_to_use(keys: Ring) -> None:
    with pytest.raises(RingError, match="`add` one first"):
        keys.use("user", WAITS, now=True)


def test_a_key_that_signs_or_is_staged_is_never_retired(keys: Ring) -> None:
    keys.add("user")
    before = trusted(keys)
    assert keys.retire("user", WAITS, now=True) == []
    assert trusted(keys) == before


@pytest.mark.parametrize(
    "step",
    [
        lambda keys: keys.add("user"),
        lambda keys: keys.use("user", WAITS),
        lambda keys: keys.retire("user", WAITS),
    ],
)
def test_a_folder_that_is_not_there_is_named(folder: Path, step: Callable[[Ring], object]) -> None:
    with pytest.raises(RingError, match=r"keys is not a folder: `init` makes it"):
        step(Ring(folder))
    assert not folder.exists()


@pytest.mark.parametrize("name", ["user.pem", "trusted-keys.json"])
def test_a_broken_file_is_named_and_nothing_is_written_over_it(
    folder: Path, keys: Ring, name: str
) -> None:
    (folder / name).write_text("broken")
    before = contents(folder)
    for step in (keys.init, keys.all_keys, lambda: keys.add("order")):
        with pytest.raises(RingError, match=name):
            step()
    assert contents(folder) == before


def test_two_commands_do_not_change_a_folder_at_once(
    folder: Path, keys: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WAIT_FOR_ANOTHER_S", 0.1)
    before = contents(folder)
    with files.held(folder):
        for step in (keys.init, lambda: keys.add("user")):
            with pytest.raises(RingError, match="another command is at work"):
                step()
    assert contents(folder) == before
    keys.add("user")


# ---- cut short


class PowerCutError(Exception):
    """The machine goes off."""


def cut(*_arguments: object) -> None:
    raise PowerCutError


def test_a_step_that_adds_and_was_cut_short_can_be_taken_again(
    keys: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trusted(keys)
    with monkeypatch.context() as patched:
        patched.setattr(Ring, "_write", cut)
        with pytest.raises(PowerCutError):
            keys.add("user")
    assert trusted(keys) == before
    assert keys.add("user").key_id in trusted(keys)


def test_a_step_that_uses_and_was_cut_short_can_be_taken_again(
    keys: Ring, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, staged = signing(keys), keys.add("user").key_id
    with monkeypatch.context() as patched:
        patched.setattr(ring, "move", cut)
        with pytest.raises(PowerCutError):
            keys.use("user", WAITS, now=True)
    assert signing(keys) == old
    assert of(keys, "user")[KeyState.SIGNS].replaced is None
    clock.now += 10_000
    keys.use("user", WAITS)
    assert signing(keys) == staged
    with pytest.raises(RingError, match="try again in 930 s"):
        keys.retire("user", WAITS)


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write_whole(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(files, "move", cut)
        with pytest.raises(PowerCutError):
            files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    files.write_whole(path, b"new")
    assert contents(tmp_path) == {"file": b"new"}


def test_what_is_written_belongs_to_the_owner_of_the_folder(folder: Path, keys: Ring) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 10_001, 10_001)
    keys.add("user")
    owner = folder.stat().st_uid
    assert {keys.trusted_keys.stat().st_uid, (folder / "user.next.pem").stat().st_uid} == {owner}
