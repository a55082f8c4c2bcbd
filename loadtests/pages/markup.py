"""Elements of HTML and SVG as text; whatever comes from a report is escaped here."""

from html import escape
from typing import Final

import orjson

_VOID: Final = {"meta", "link", "br"}


def text(words: object) -> str:
    """Return words as content of an element."""
    return escape(str(words), quote=False)


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Return an element round content that is markup already.

    Of an attribute's name a trailing underscore is dropped and others become hyphens; one that is
    None is left out. Numbers are coordinates, for which a tenth is fine enough.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    opening = " ".join(parts)
    return f"<{opening}>" if name in _VOID else f"<{opening}>{content}</{name}>"


def datum(path: str, value: object, shown: str) -> str:
    """Return a value of the report as people read it, with its place there and all its digits."""
    digits = value if isinstance(value, str) else orjson.dumps(value).decode()
    return element("data", text(shown), data_path=path, value=digits)


def embedded(plain: object) -> str:
    """Return data for the page's script, which no text in it can end early."""
    coded = orjson.dumps(plain).decode().replace("<", "\\u003c")
    return f'<script type="application/json">{coded}</script>'
