"""What the README says, for tests of whether it is so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.stack.settings import PROJECT

TEXT: Final = (PROJECT / "README.md").read_text()
_ROW: Final = re.compile(r"\| (`SHOP_[^|]*)\|([^|]*)\|([^|]*)\|.*\|")
_VARIABLE: Final = re.compile(r"`(SHOP_\w+)`")
_PYTHON: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """What the table of settings says about a variable."""

    default: str
    unit: str


def settings() -> Iterator[tuple[str, Row]]:
    """Yield the variables of the table of settings, in its order."""
    for line in TEXT.splitlines():
        found = _ROW.fullmatch(line)
        if found:
            for variable in _VARIABLE.findall(found[1]):
                yield variable, Row(found[2].strip(), found[3].strip())


def client() -> str:
    """Return the program that shows how to call the shop."""
    (program,) = _PYTHON.findall(TEXT)
    return str(program)
