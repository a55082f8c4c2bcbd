import subprocess
import sys
from pathlib import Path

import pytest

from services.common.auth.keys import load_signing_key, load_trusted_keys
from services.keyring.command import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("SHOP_KEYS_REFRESH_S", "SHOP_KEYS_SPREAD_S", "SHOP_ACCESS_TOKEN_LIFETIME_S"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "keys"
    assert main(["init", str(path)]) == 0
    return str(path)


Said = pytest.CaptureFixture[str]


def test_init_says_what_it_wrote_and_then_that_nothing_is_missing(
    tmp_path: Path, capsys: Said
) -> None:
    folder = str(tmp_path / "keys")
    assert main(["init", folder]) == 0
    assert "user.pem, order.pem, trusted-keys.json" in capsys.readouterr().out
    assert main(["init", folder]) == 0
    assert "nothing is missing" in capsys.readouterr().out


def test_list_shows_every_key_with_its_issuer_its_state_and_when_it_was_added(
    folder: str, capsys: Said
) -> None:
    main(["add", folder, "user"])
    main(["use", folder, "user", "--now"])
    main(["add", folder, "user"])
    capsys.readouterr()
    assert main(["list", folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted((line.split()[0], line.split()[2]) for line in lines) == [
        ("order", "signs"),
        ("user", "signs"),
        ("user", "staged"),
        ("user", "trusted"),
    ]
    assert {line.split()[1] for line in lines} == set(
        load_trusted_keys(Path(folder, "trusted-keys.json"))
    )
    assert all(" added 2" in line for line in lines)
    assert sum("signs no more since 2" in line for line in lines) == 1


def test_each_step_says_what_to_bring_where_and_when_the_next_may_come(
    folder: str, capsys: Said
) -> None:
    main(["add", folder, "user"])
    told = capsys.readouterr().out
    assert "trusted-keys.json to every service" in told
    assert "in 140 s or later" in told
    main(["use", folder, "user", "--now"])
    told = capsys.readouterr().out
    assert "user.pem to the service" in told
    assert "in 1040 s or later" in told
    main(["retire", folder, "user", "--now"])
    assert "trusted-keys.json to every service" in capsys.readouterr().out
    assert main(["retire", folder, "user"]) == 0
    assert "no old key of user" in capsys.readouterr().out


def test_what_comes_too_early_is_refused_with_what_to_do(folder: str, capsys: Said) -> None:
    main(["add", folder, "order"])
    assert main(["use", folder, "order"]) == 1
    refusal = capsys.readouterr().err
    assert "try again in" in refusal
    assert "--now" in refusal


def test_the_waits_follow_the_settings_of_the_services(
    folder: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEYS_REFRESH_S", "7")
    monkeypatch.setenv("SHOP_KEYS_SPREAD_S", "0")
    monkeypatch.setenv("SHOP_ACCESS_TOKEN_LIFETIME_S", "60")
    main(["add", folder, "user"])
    assert "in 14 s or later" in capsys.readouterr().out
    main(["use", folder, "user", "--now"])
    assert "in 74 s or later" in capsys.readouterr().out
    main(["add", folder, "order"])
    main(["use", folder, "order", "--now"])
    assert "in 314 s or later" in capsys.readouterr().out


def test_a_wrong_setting_is_named(
    folder: str, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEYS_SPREAD_S", "soon")
    assert main(["list", folder]) == 2
    assert "SHOP_KEYS_SPREAD_S" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file" / "keys")]) == 1
    assert "file" in capsys.readouterr().err


def test_no_command_shows_a_private_key(folder: str, capsys: Said) -> None:
    for command in ("add", "use", "retire"):
        main([command, folder, "user", *([] if command == "add" else ["--now"])])
    main(["list", folder])
    said = capsys.readouterr()
    private = load_signing_key(Path(folder, "user.pem")).private.private_bytes_raw().hex()
    secret = Path(folder, "user.pem").read_text().splitlines()[1]
    assert secret not in said.out + said.err
    assert private not in said.out + said.err


def test_it_runs_as_a_module(folder: str) -> None:
    ran = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, "-m", "services.keyring", "use", folder, "user"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "`add` one first" in ran.stderr
    assert "Traceback" not in ran.stderr
