"""What a MongoDB URI may say.

Both drivers drop an option that they cannot read, ``tls=maybe`` say, and go on without it; some
options end what is promised about reads, writes and waits. So only those are taken that do not.
"""

import re
import warnings
from typing import Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

_DIRECT: Final = "mongodb://"
_TOLD_BY_DNS: Final = "mongodb+srv://"
_EXAMPLE: Final = "must be like mongodb://user:password@host:27017/?replicaSet=rs0"
_TAKEN: Final = (
    "appName",
    "authMechanism",
    "authSource",
    "compressors",
    "directConnection",
    "replicaSet",
    "ssl",
    "tls",
    "tlsAllowInvalidCertificates",
    "tlsAllowInvalidHostnames",
    "tlsCAFile",
    "tlsCRLFile",
    "tlsCertificateKeyFile",
    "tlsCertificateKeyFilePassword",
    "tlsDisableOCSPEndpointCheck",
    "tlsInsecure",
    "zlibCompressionLevel",
)
_KNOWN: Final = frozenset(name.lower() for name in _TAKEN)
_AS_PROMISED: Final = {
    "readpreference": "primary",
    "retryreads": "true",
    "retrywrites": "true",
    "w": "majority",
}
_NAME: Final = re.compile(r"[A-Za-z]{1,40}")  # what is none may be part of a password


def check_uri(uri: str) -> None:
    """Raise ValueError, whose message repeats no secret, unless it works as it reads.

    Where DNS has to tell the hosts, they are believed.
    """
    by_dns = uri.startswith(_TOLD_BY_DNS)
    if by_dns:
        uri = _DIRECT + uri.removeprefix(_TOLD_BY_DNS)
    base, _, query = uri.partition("?")
    try:
        parse_uri(base)
    except (PyMongoError, ValueError):
        raise ValueError(_EXAMPLE) from None
    names = _checked_names(query)
    if by_dns and not {"tls", "ssl"} & names:  # which the scheme says
        query = f"{query}&tls=true" if query else "tls=true"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of what the driver would go on without
            MongoClient(f"{base}?{query}", connect=False, readPreference="primary").close()
    except (PyMongoError, ValueError, OSError, UserWarning) as error:
        raise ValueError(f"an option cannot be used: {error}") from None


def _checked_names(query: str) -> set[str]:
    """Return the names of the options in small letters."""
    names = set[str]()
    for option in filter(None, re.split("[&;]", query)):
        shown, _, value = option.partition("=")
        name = shown.lower()
        if name in _AS_PROMISED and value.lower() != _AS_PROMISED[name]:
            raise ValueError(f"the option {shown} may only be {_AS_PROMISED[name]}")
        if name not in _KNOWN | _AS_PROMISED.keys():
            shown = shown if _NAME.fullmatch(shown) else "something else"
            raise ValueError(f"takes the options {', '.join(_TAKEN)}, and not {shown}")
        if not value or name in names:
            raise ValueError(f"the option {shown} needs one value")
        names.add(name)
    return names
