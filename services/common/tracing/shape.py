"""What a command to MongoDB is like, without what is in it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

_SHOWN: Final = ("filter", "query", "update", "updates", "deletes", "pipeline", "sort")
_VALUE: Final = "?"
_LOOKED_AT: Final = 8  # of an array's items: those of one array are mostly alike
_DEPTH: Final = 12


def shape_text(command: Mapping[str, Any]) -> str:
    """Return the parts of a command that say what is asked for, as JSON with ``?`` for values."""
    shown = {
        name: _shape(command[name])
        for name in _SHOWN
        if isinstance(command.get(name), Mapping | list)  # not the collection to update
    }
    return orjson.dumps(shown).decode() if shown else ""


def _shape(value: Any, depth: int = 0) -> Any:
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(name): _shape(part, depth + 1) for name, part in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple):
        shapes: list[Any] = []
        for part in value[:_LOOKED_AT]:
            shape = _shape(part, depth + 1)
            if shape not in shapes:
                shapes.append(shape)
        return shapes
    return _VALUE
