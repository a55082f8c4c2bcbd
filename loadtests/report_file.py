"""A report as a file of JSON: written as it is, and checked field by field when read."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import orjson

from loadtests.results import FORMAT, Report


class UnreadableReportError(Exception):
    """The file is missing, is not JSON, or is not a report of this format; says which and where."""


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON, in one step, so that nobody reads half of one."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(orjson.dumps(report, option=orjson.OPT_APPEND_NEWLINE))
    part.replace(path)


def read_report(path: Path) -> Report:
    """Return the report of a file.

    Raises ``UnreadableReportError``, which names the file and what is wrong in it.
    """
    try:
        plain = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UnreadableReportError(f"{path}: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise UnreadableReportError(f"{path}: is not JSON: {error}") from error
    try:
        return report_of(plain)
    except UnreadableReportError as error:
        raise UnreadableReportError(f"{path}: {error}") from error


def report_of(plain: object) -> Report:
    """Return the report that JSON has been decoded from.

    Raises ``UnreadableReportError``.
    """
    stated = plain.get("format") if isinstance(plain, dict) else None
    if stated != FORMAT:
        raise UnreadableReportError(f"format is {stated!r} and not {FORMAT!r}")
    return cast("Report", _value(plain, Report, "report"))


def _value(plain: object, kind: Any, where: str) -> object:
    if is_dataclass(kind):
        return _record(plain, cast("type", kind), where)
    origin = get_origin(kind)
    if origin in {UnionType, Union}:
        return None if plain is None else _value(plain, get_args(kind)[0], where)
    if origin is list:
        (item,) = get_args(kind)
        items = _checked(plain, list, "a list", where)
        return [_value(each, item, f"{where}[{place}]") for place, each in enumerate(items)]
    if origin is tuple:
        return _tuple(plain, get_args(kind), where)
    if origin is dict:
        values = get_args(kind)[1]
        named = _checked(plain, dict, "an object", where)
        return {name: _value(each, values, f"{where}.{name}") for name, each in named.items()}
    return _plain(plain, kind, where)


def _record(plain: object, kind: type, where: str) -> object:
    given: Mapping[str, object] = _checked(plain, dict, "an object", where)
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        wrong = [f"{name} is missing" for name in missing]
        wrong += [f"{name} is unknown" for name in unknown]
        raise UnreadableReportError(f"{where}: {', '.join(wrong)}")
    return kind(**{name: _value(given[name], hints[name], f"{where}.{name}") for name in names})


def _tuple(plain: object, kinds: tuple[Any, ...], where: str) -> object:
    items = _checked(plain, list, "a list", where)
    if len(items) != len(kinds):
        raise UnreadableReportError(f"{where}: has {len(items)} items and not {len(kinds)}")
    return tuple(
        _value(each, kind, f"{where}[{place}]")
        for place, (each, kind) in enumerate(zip(items, kinds, strict=True))
    )


def _plain(plain: object, kind: type, where: str) -> object:
    if kind is float and type(plain) is int:
        return float(plain)
    # type() and not isinstance(), to which True is an int.
    if type(plain) is not kind:
        raise UnreadableReportError(
            f"{where}: is {type(plain).__name__} and not {kind.__name__}: {plain!r:.40}"
        )
    return plain


def _checked(plain: object, kind: type, name: str, where: str) -> Any:
    if not isinstance(plain, kind):
        raise UnreadableReportError(f"{where}: is not {name}")
    return plain
