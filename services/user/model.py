"""Users, their logins, and their rules."""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from services.common.auth.principal import Principal, Role
from services.common.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from services.common.validation import FieldChecks

ADMIN_USERNAME: Final = "admin"
ADMIN_EMAIL: Final = "admin@shop.example"
MIN_PASSWORD_CHARS: Final = 8
MAX_PASSWORD_CHARS: Final = 128
REFRESH_REPEAT_S: Final = 30
"""How long a refresh may be repeated: the answer may be lost, or two tabs may ask at once."""
PASSWORD_RULE: Final = (
    f"must be {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters long, "
    "not all blank and without control characters"
)
_MAX_TYPED_CHARS: Final = 4 * MAX_PASSWORD_CHARS  # what is composed of several counts as one
_CONTROL: Final = "Cc"
_BLANK: Final = {"Zs", "Zl", "Zp", "Cf", _CONTROL}
_MAX_EMAIL_CHARS: Final = 254
_MAX_FULL_NAME_CHARS: Final = 100
_MAX_TOKEN_CHARS: Final = 256
# ASCII alone: the letters of other scripts that look like these cannot pass for them.
_USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,31}")
_RESERVED_USERNAMES: Final = (
    *(ADMIN_USERNAME, "administrator", "root", "superuser", "sysadmin", "system"),
    *("support", "helpdesk", "security", "staff", "moderator", "operator", "official"),
    *("shop", "service", "webmaster", "postmaster", "hostmaster", "abuse", "noreply"),
    *("anonymous", "nobody", "everyone"),
)
# What an HTML form accepts as an e-mail address, with at least one dot in the domain.
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?:{_LABEL}\.)+{_LABEL}")


class UserNotFound(NotFound):
    """No user has this identifier."""

    reason = "USER_NOT_FOUND"

    def __init__(self, user_id: str) -> None:
        super().__init__(f"there is no user {user_id}", {"user_id": user_id})


class UsernameTaken(AlreadyExists):
    """Another user has this username."""

    reason = "USERNAME_TAKEN"

    def __init__(self, username: str) -> None:
        super().__init__(f"the username {username} is taken", {"username": username})


class EmailTaken(AlreadyExists):
    """Another user has this e-mail address."""

    reason = "EMAIL_TAKEN"

    def __init__(self, email: str) -> None:
        super().__init__(f"the e-mail address {email} is taken", {"email": email})


class InvalidCredentials(Unauthenticated):
    """There is no such user, or not with this password, or the user is not active."""

    reason = "INVALID_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("the username or the password is wrong")


class LoginThrottled(ResourceExhausted):
    """Passwords of one account, or from one source, were tried too often."""

    reason = "LOGIN_THROTTLED"

    def __init__(self, retry_delay_s: float) -> None:
        super().__init__("too many failed logins", retry_delay_s)


class LoginOverloaded(ResourceExhausted):
    """As many calls hash passwords as may, in all or of this share."""

    reason = "LOGIN_OVERLOADED"

    def __init__(self) -> None:
        super().__init__("too many logins at once", retry_delay_s=1.0)


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token belongs to no login, or to one that has ended."""

    reason = "REFRESH_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid")


class RefreshTokenReused(Unauthenticated):
    """The refresh token was used up; its login is ended, for somebody may have stolen it."""

    reason = "REFRESH_TOKEN_REUSED"

    def __init__(self) -> None:
        super().__init__("the refresh token was used before; log in again")


class PasswordChanged(Aborted):
    """The password changed while it was being changed."""

    reason = "PASSWORD_CHANGED"

    def __init__(self) -> None:
        super().__init__("the password was changed meanwhile")


class NoAdministrator(PermissionDenied):
    """The caller's account is not, or no longer, an administrator's."""

    reason = "ADMINISTRATOR_REQUIRED"

    def __init__(self) -> None:
        super().__init__("the caller is not an administrator any more")


class OwnAdministration(FailedPrecondition):
    """An administrator wants to be none, or to be inactive. One must always be left."""

    reason = "OWN_ADMINISTRATION"

    def __init__(self) -> None:
        super().__init__("only another administrator may take role or activity from this one")


@dataclass(frozen=True, slots=True)
class User:
    """A customer or an administrator, as anybody who may see the profile sees it."""

    user_id: str
    username: str
    email: str
    full_name: str
    role: Role
    active: bool
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """A user and what logging in needs to know; it stays inside the service.

    ``login_epoch`` counts how often all logins of the user were ended at once. ``setting_hash`` is
    the hash of the administrator's password that was last taken from the settings.
    """

    user: User
    password_hash: str = field(repr=False)
    login_epoch: int
    setting_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody says about themselves to become a customer.

    ``request_id`` is the caller's name for it, if there is one; a repeat has the same.
    """

    username: str
    email: str
    full_name: str
    request_id: str = ""

    def check(self, password: str) -> None:
        """Raise ``InvalidArgument`` if a field, or the password chosen with it, breaks its rule."""
        checks = FieldChecks()
        checks.matches(
            "username",
            self.username,
            _USERNAME,
            "must be 3 to 32 of letters, digits, '.', '_' and '-', the first a letter or digit",
        )
        _check_email(checks, "email", self.email)
        checks.require(is_acceptable_password(password), "password", PASSWORD_RULE)
        _check_full_name(checks, "full_name", self.full_name)
        if self.request_id:
            checks.name("request_id", self.request_id)
        checks.finish()

    def is_of(self, user: User) -> bool:
        """Whether the user is still as registered here."""
        known = (user.username, user.email, user.full_name)
        return known == (self.username, self.email, self.full_name)

    def confirm_unreserved(self) -> None:
        """Raise if the username or the e-mail address is, or looks like, one of the shop itself."""
        if _skeleton(self.username) in _RESERVED_SKELETONS:
            raise UsernameTaken(self.username)
        _confirm_unreserved_email(self.email)


@dataclass(frozen=True, slots=True)
class ProfileDraft:
    """What somebody wants a profile to say. A role not given is ``Role.ANONYMOUS``."""

    email: str
    full_name: str
    role: Role
    active: bool

    def check(self, fields: Collection[str], password_to_prove: str | None) -> None:
        """Raise ``InvalidArgument`` if any of the named fields breaks its rule.

        So does a password that cannot be one, where one has to be proven.
        """
        checks = FieldChecks()
        for name in fields:
            _FIELD_RULES[name](self, checks)
        if password_to_prove is not None:
            _check_password_to_prove(checks, "current_password", password_to_prove)
        checks.finish()

    def confirm_permitted(self, fields: Collection[str], principal: Principal) -> None:
        """Raise unless the caller's token allows to set the named fields to these values."""
        if principal.is_admin:
            return
        for name in fields:
            if name in _ADMIN_FIELDS:
                raise PermissionDenied(f"only an administrator may change {name}", {"field": name})
        if "email" in fields:
            _confirm_unreserved_email(self.email)

    def is_administration(self, fields: Collection[str], *, own: bool) -> bool:
        """Whether the change takes an administrator. ``own`` is a change by the user concerned.

        Raises ``OwnAdministration``.
        """
        if own and (self.demotes(fields) or self.deactivates(fields)):
            raise OwnAdministration
        return (
            not own
            or any(name in _ADMIN_FIELDS for name in fields)
            or ("email" in fields and _is_reserved_email(self.email))
        )

    def demotes(self, fields: Collection[str]) -> bool:
        """Whether the user is no administrator afterwards because of this change."""
        return "role" in fields and self.role is not Role.ADMIN

    def deactivates(self, fields: Collection[str]) -> bool:
        """Whether the user is inactive afterwards because of this change."""
        return "active" in fields and not self.active


_ADMIN_FIELDS: Final = ("role", "active")
_FIELD_RULES: Final[Mapping[str, Callable[[ProfileDraft, FieldChecks], None]]] = {
    "email": lambda draft, checks: _check_email(checks, "user.email", draft.email),
    "full_name": lambda draft, checks: _check_full_name(checks, "user.full_name", draft.full_name),
    "role": lambda draft, checks: checks.require(
        draft.role in {Role.CUSTOMER, Role.ADMIN},
        "user.role",
        "must be ROLE_CUSTOMER or ROLE_ADMIN",
    ),
    "active": lambda _draft, _checks: None,
}

PROFILE_FIELDS: Final = tuple(_FIELD_RULES)
"""The fields of a user that an update may set."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and when it ends."""

    text: str = field(repr=False)
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A secret that continues a login once. All tokens of one login are a family.

    The seal proves that a token was one of its family, however many came after it.
    """

    family: str
    secret: str = field(repr=False)
    seal: str = field(repr=False, default="")

    @classmethod
    def new(cls) -> "RefreshToken":
        """Return the first token of a new family."""
        first = cls(secrets.token_urlsafe(16), secrets.token_urlsafe(32))
        return first.sealed(first.family_key)

    @classmethod
    def parse(cls, text: str) -> "RefreshToken":
        """Return the token that a text stands for; any text of a token's length stands for one.

        Raises ``InvalidArgument`` for an empty or over-long text.
        """
        if not 1 <= len(text) <= _MAX_TOKEN_CHARS:
            raise InvalidArgument.of(
                "refresh_token", f"must be 1 to {_MAX_TOKEN_CHARS} characters long"
            )
        rest, _, secret = text.rpartition(".")
        seal, _, family = rest.rpartition(".")
        return cls(family, secret, seal)

    def successor(self, salt: str) -> "RefreshToken":
        """Return the token that takes this one's place, still without a seal.

        It takes this token and the salt, which the service keeps, to make it, or make it again.
        """
        return RefreshToken(self.family, _hmac(self.secret, salt))

    @property
    def family_key(self) -> str:
        """The key of the seals of the family that begins with this token."""
        return _hmac(self.secret, "family")

    def sealed(self, family_key: str) -> "RefreshToken":
        """Return the token with the seal of its family."""
        return replace(self, seal=_hmac(family_key, self.secret))

    def has_seal_of(self, family_key: str) -> bool:
        """Whether the token is one of the family."""
        seal = self.sealed(family_key).seal
        return hmac.compare_digest(self.seal.encode(), seal.encode())

    @property
    def text(self) -> str:
        """The token as its holder keeps it."""
        return f"{self.seal}.{self.family}.{self.secret}"

    @property
    def digest(self) -> str:
        """The token as we keep it: a fast hash will do for 256 random bits."""
        return _sha256(self.secret)


@dataclass(frozen=True, slots=True)
class Session:
    """A login that refresh tokens continue."""

    user_id: str
    login_epoch: int

    def is_open_to(self, account: Account) -> bool:
        """Whether the account may go on with this login."""
        return account.user.active and account.login_epoch == self.login_epoch


@dataclass(frozen=True, slots=True)
class Login:
    """Who logged in, and the tokens that say so from now on."""

    user_id: str
    access_token: AccessToken
    refresh_token: RefreshToken


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """How many failures a window allows, and how long an account knows a client."""

    per_account: int
    per_source: int
    window_s: float
    known_s: float


@dataclass(frozen=True, slots=True)
class Client:
    """Who tries a password: the network it calls from, and an earlier login that it can name.

    The account knows it again by either; each is empty where there is none.
    """

    source: str = ""
    family: str = ""

    @classmethod
    def of(cls, source: str, refresh_token: str) -> "Client":
        """Return the client that sends this token, or none. Raises ``InvalidArgument``."""
        return cls(source, RefreshToken.parse(refresh_token).family if refresh_token else "")


UNKNOWN_CLIENT: Final = Client()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that is under way: whose password, who tries, and whether the account knows them."""

    key: str
    client: Client
    known: bool


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """How often a password was tried of late without being right, this time included."""

    count: int
    window_ends_in_s: float

    def confirm_at_most(self, failures: int) -> None:
        """Raise ``LoginThrottled`` unless one more try is allowed."""
        if self.count > failures:
            raise LoginThrottled(self.window_ends_in_s)


def attempt_key(login_name: str, account: Account | None) -> str:
    """Return what login attempts are counted under: one key for all names of an account.

    Unknown names are counted as well, so that being throttled says nothing about them.
    """
    if account is None:
        return f"name:{_sha256(login_name.casefold())}"
    return f"user:{account.user.user_id}"


def owner_attempt_key(user_id: str) -> str:
    """Return what attempts of a user who is logged in are counted under.

    Strangers cannot keep the user from changing the password.
    """
    return f"owner:{user_id}"


def name_key(name: str) -> str:
    """Return what a login name is found by: neither case nor width matters (NFKC)."""
    return unicodedata.normalize("NFKC", name).casefold()


def opaque(password: str) -> str:
    """Return a password as it is hashed, however a device composes characters and spaces.

    The mappings are those of RFC 8265 (OpaqueString). Its class of characters is not asked for:
    that has no emoji with a joiner or a variation selector.
    """
    if password.isascii():
        return password
    spaced = (" " if unicodedata.category(c) == "Zs" else c for c in password)
    return unicodedata.normalize("NFC", "".join(spaced))


def is_acceptable_password(password: str) -> bool:
    """Whether a user may have this password."""
    if not _is_as_long(password, at_least=MIN_PASSWORD_CHARS):
        return False
    categories = {unicodedata.category(c) for c in password}
    return _CONTROL not in categories and not categories <= _BLANK


def check_login(username: str, password: str) -> None:
    """Raise ``InvalidArgument`` for what cannot be anybody's name and password."""
    checks = FieldChecks()
    checks.require(
        1 <= len(username) <= _MAX_EMAIL_CHARS,
        "username",
        f"must be 1 to {_MAX_EMAIL_CHARS} characters long",
    )
    _check_password_to_prove(checks, "password", password)
    checks.finish()


def check_password_change(user_id: str, current_password: str, new_password: str) -> None:
    """Raise ``InvalidArgument`` if the request for another password breaks a rule."""
    checks = FieldChecks()
    checks.identifier("user_id", user_id)
    _check_password_to_prove(checks, "current_password", current_password)
    checks.require(is_acceptable_password(new_password), "new_password", PASSWORD_RULE)
    checks.finish()


def _check_password_to_prove(checks: FieldChecks, name: str, password: str) -> None:
    checks.require(
        _is_as_long(password, at_least=1),
        name,
        f"must be 1 to {MAX_PASSWORD_CHARS} characters long",
    )


def _is_as_long(password: str, at_least: int) -> bool:
    if len(password) > _MAX_TYPED_CHARS:
        return False
    return at_least <= len(opaque(password)) <= MAX_PASSWORD_CHARS


def _check_email(checks: FieldChecks, name: str, email: str) -> None:
    checks.require(
        len(email) <= _MAX_EMAIL_CHARS and _EMAIL.fullmatch(email) is not None,
        name,
        f"must be an e-mail address of at most {_MAX_EMAIL_CHARS} characters",
    )


def _check_full_name(checks: FieldChecks, name: str, full_name: str) -> None:
    checks.text(name, full_name, at_least=1, at_most=_MAX_FULL_NAME_CHARS)


def _confirm_unreserved_email(email: str) -> None:
    if _is_reserved_email(email):
        raise EmailTaken(email)


def _is_reserved_email(email: str) -> bool:
    return email.casefold() == ADMIN_EMAIL


def _skeleton(username: str) -> str:
    """Return what an ASCII name looks like at a glance (after UTS #39)."""
    letters = username.casefold().translate(_LOOKS_LIKE)
    return letters.replace("rn", "m").replace("vv", "w")


_LOOKS_LIKE: Final = str.maketrans("0134578i", "oleastbl", "._-")
_RESERVED_SKELETONS: Final = frozenset(map(_skeleton, _RESERVED_USERNAMES))


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
