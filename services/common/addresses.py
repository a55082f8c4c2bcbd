"""Hosts and ports, as people write them and as programs want them."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


def bare_host(text: str) -> str:
    """Return a host without the brackets that an IPv6 address may be written in.

    Raises ``ValueError`` for what is no host.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _ip(bare) is None and (bare != text or not _NAME.fullmatch(bare)):
        raise ValueError("must be a name or an address without a port, like 0.0.0.0, :: or [::]")
    return bare


Host = Annotated[str, AfterValidator(bare_host)]


def address(host: str, port: int) -> str:
    """Return where to call or to listen, an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """Return where clients on this machine find who listens at a host."""
    ip = _ip(host)
    return _LOOPBACK[ip.version] if ip is not None and ip.is_unspecified else host


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
