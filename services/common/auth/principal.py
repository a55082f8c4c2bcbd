"""Who is calling."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a caller may do beyond their own affairs."""

    ANONYMOUS = "anonymous"
    CUSTOMER = "customer"
    ADMIN = "admin"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is proven: a user by id, or a service by name."""

    subject: str
    role: Role

    @property
    def is_user(self) -> bool:
        """Whether a person is calling."""
        return self.role in {Role.CUSTOMER, Role.ADMIN}

    @property
    def is_admin(self) -> bool:
        """Whether an administrator is calling."""
        return self.role is Role.ADMIN

    @property
    def is_service(self) -> bool:
        """Whether another service is calling."""
        return self.role is Role.SERVICE

    def owns(self, user_id: str) -> bool:
        """Whether the caller is this user."""
        return self.is_user and self.subject == user_id

    def may_act_for(self, user_id: str) -> bool:
        """Whether the caller is this user, an administrator or a service."""
        return self.is_admin or self.is_service or self.owns(user_id)


ANONYMOUS: Final = Principal(subject="", role=Role.ANONYMOUS)
