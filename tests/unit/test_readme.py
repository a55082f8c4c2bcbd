"""The README says what is so: settings, commands, files."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.common.settings import PREFIX
from services.demo.settings import DemoSettings
from services.inventory.settings import Settings as InventorySettings
from services.keyring.settings import KeyringSettings
from services.order.settings import Settings as OrderSettings
from services.stack.settings import PROJECT, StackSettings
from services.user.settings import Settings as UserSettings
from tests import readme

# Where several read a variable, the first one's default is told.
KINDS: Final[tuple[type[BaseSettings], ...]] = (
    UserSettings,
    InventorySettings,
    OrderSettings,
    KeyringSettings,
    DemoSettings,
    StackSettings,
)
SET_BY_SUPERVISORS: Final = {"worker_index", "worker_metrics_socket"}
IN_WORDS: Final = {
    "SHOP_HASH_WORKERS": "CPUs, at most 4",
    "SHOP_DATA_DIR": ".data",
    "SHOP_STACK_MONGO_PORT": "27017 or a free one",
    "SHOP_STACK_REDIS_PORT": "6379 or a free one",
}
UNITS: Final = {"MS": "ms", "S": "s", "BYTES": "bytes"}
NUMBERS_WITHOUT_UNIT: Final = ("_PORT", "_RATIO")


def known() -> Mapping[str, Any]:
    """Return the default of every variable; ``...`` for one that must be set."""
    return {
        PREFIX + name.upper(): ... if field.is_required() else field.default
        for kind in reversed(KINDS)
        for name, field in kind.model_fields.items()
        if name not in SET_BY_SUPERVISORS
    }


def shown(default: Any) -> str:
    match default:
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case Enum():
            return str(default.value)
        case SecretStr():
            return default.get_secret_value()
        case None:
            return ""
    return "required" if default is ... else str(default)


def test_the_table_of_settings_has_a_row_for_each_and_no_other() -> None:
    rows = [variable for variable, _ in readme.settings()]
    assert sorted(rows) == sorted(known())


@pytest.mark.parametrize(("variable", "row"), list(readme.settings()))
def test_a_setting_has_the_default_and_the_unit_that_its_row_says(
    variable: str, row: readme.Row
) -> None:
    default = known()[variable]
    assert row.default == IN_WORDS.get(variable, shown(default))
    unit = UNITS.get(variable.rpartition("_")[2])
    if unit is not None:
        assert row.unit == unit
    elif type(default) in {int, float} and not variable.endswith(NUMBERS_WITHOUT_UNIT):
        assert row.unit


def test_every_target_of_make_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", readme.TEXT, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test", "lint"} <= named
    assert named <= targets


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:docs|deploy|services|tests)/[\w./-]*\w", readme.TEXT))
    assert "docs/operations.md" in named
    assert [path for path in sorted(named) if not (PROJECT / path).exists()] == []


def test_every_test_that_the_page_of_defences_names_exists() -> None:
    page = (PROJECT / "docs/defended.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert len(named) > 100
    assert sorted(named - there) == []
