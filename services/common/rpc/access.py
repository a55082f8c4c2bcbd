"""Who may call what: rules for the access table that each service declares, one row per RPC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.common.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a proven caller may make a request. Without ``permits``, anybody may."""

    name: str
    permits: Callable[[Principal, Any], bool] | None


AccessTable = Mapping[str, Rule]

PUBLIC: Final = Rule("public", None)
"""Anybody, with a token or without."""

SIGNED_IN: Final = Rule("signed-in", lambda _principal, _request: True)
"""Anybody who is known. The use case decides for the object at hand."""

USER: Final = Rule("user", lambda principal, _request: principal.is_user)
"""A person, acting for themselves."""

ADMIN: Final = Rule("admin", lambda principal, _request: principal.is_admin)
SERVICE: Final = Rule("service", lambda principal, _request: principal.is_service)
ADMIN_OR_SERVICE: Final = Rule(
    "admin-or-service", lambda principal, _request: principal.is_admin or principal.is_service
)


def acting_for(user_of: Callable[[Any], str]) -> Rule:
    """Allow the user that the request names, an administrator, or a service."""
    return Rule(
        "owner-admin-or-service",
        lambda principal, request: principal.may_act_for(user_of(request)),
    )


def owned_or_administered(user_of: Callable[[Any], str]) -> Rule:
    """Allow the user that the request names, or an administrator."""
    return Rule(
        "owner-or-admin",
        lambda principal, request: principal.is_admin or principal.owns(user_of(request)),
    )


def owned_by(user_of: Callable[[Any], str]) -> Rule:
    """Allow the user that the request names, and nobody else."""
    return Rule("owner", lambda principal, request: principal.owns(user_of(request)))
