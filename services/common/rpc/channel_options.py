"""What every channel that the shop itself opens is told. It imports nothing: health checks do."""

from typing import Final

DIRECT: Final = (("grpc.enable_http_proxy", 0),)
"""No HTTP proxy, whatever ``http_proxy`` and the like say: they are for calls to the outside."""


def authority(target: str) -> tuple[tuple[str, str], ...]:
    """Return the option that names one server where the target has several addresses.

    gRPC would name all of them (``a:1,b:1``), which is no authority (RFC 9110, 7.2).
    """
    first, several, _ = target.partition(",")
    name = first.removeprefix("ipv4:").removeprefix("ipv6:").lstrip("/")
    return (("grpc.default_authority", name),) if several else ()
