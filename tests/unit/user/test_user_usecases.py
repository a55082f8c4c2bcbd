"""What the User service does, with everything outside faked."""

from dataclasses import dataclass, field, replace

import pytest

from services.common.auth.principal import Principal, Role
from services.common.errors import AlreadyExists, InvalidArgument, PermissionDenied
from services.user.model import (
    UNKNOWN_CLIENT,
    Client,
    EmailTaken,
    InvalidCredentials,
    LoginOverloaded,
    LoginThrottled,
    NoAdministrator,
    OwnAdministration,
    PasswordChanged,
    ProfileDraft,
    RefreshTokenInvalid,
    RefreshTokenReused,
    Registration,
    User,
    UsernameTaken,
    UserNotFound,
)
from services.user.usecases import UserUseCases
from tests.unit.user.fakes import (
    MAX_FAILURES,
    WINDOW_S,
    FakeAccessTokens,
    FakePasswords,
    FakeSessions,
    FakeThrottle,
    FakeUsers,
    FakeUsersSeeing,
)

ADA = Registration("Ada", "Ada@Example.com", "Ada Lovelace")
ADA_TOO = Registration("Ada2", "ada2@example.com", "Ada King")
PASSWORD = "correct horse"
HOME, STRANGER = Client("203.0.113.7"), Client("198.51.100.9")
BOSS = Registration("Boss", "boss@example.com", "The Boss")
UNKNOWN_ID = "f" * 24


@dataclass
class World:
    users: FakeUsers = field(default_factory=FakeUsers)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    throttle: FakeThrottle = field(default_factory=FakeThrottle)
    passwords: FakePasswords = field(default_factory=FakePasswords)

    @property
    def usecases(self) -> UserUseCases:
        return UserUseCases(
            self.users,
            self.sessions,
            self.throttle,
            self.passwords,
            FakeAccessTokens(),
        )

    async def fail_login(
        self, login_name: str, times: int, client: Client = UNKNOWN_CLIENT
    ) -> None:
        for _ in range(times):
            with pytest.raises(InvalidCredentials):
                await self.usecases.authenticate_user(login_name, "wrong", client)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(world: World) -> UserUseCases:
    return world.usecases


@pytest.fixture
async def ada(shop: UserUseCases) -> User:
    return await shop.register_user(ADA, PASSWORD)


@pytest.fixture
async def admin(world: World) -> Principal:
    """An administrator, as the token says."""
    boss = await world.users.add(BOSS, Role.ADMIN, f"new:{PASSWORD}")
    return owner(boss)


def owner(user: User) -> Principal:
    return Principal(user.user_id, user.role)


def draft(
    *, email: str = "", full_name: str = "", role: Role = Role.ANONYMOUS, active: bool = False
) -> ProfileDraft:
    return ProfileDraft(email, full_name, role, active)


# Registering


async def test_who_registers_becomes_an_active_customer(ada: User) -> None:
    assert (ada.username, ada.role, ada.active) == ("Ada", Role.CUSTOMER, True)


async def test_a_bad_registration_names_every_bad_field(shop: UserUseCases) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.register_user(Registration("-x", "nowhere", ""), "short")
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["username", "email", "password", "full_name"]


@pytest.mark.parametrize("username", ["admin", "Admin"])
async def test_the_administrators_name_cannot_be_registered(
    shop: UserUseCases, username: str
) -> None:
    with pytest.raises(UsernameTaken):
        await shop.register_user(Registration(username, "x@example.com", "X"), PASSWORD)


async def test_the_administrators_address_cannot_be_registered(shop: UserUseCases) -> None:
    with pytest.raises(EmailTaken):
        await shop.register_user(Registration("eve", "Admin@Shop.example", "Eve"), PASSWORD)


NAMED = replace(ADA, request_id="first-try")


async def test_a_registration_repeated_by_its_name_returns_the_user_that_it_made(
    world: World, shop: UserUseCases
) -> None:
    made = await shop.register_user(NAMED, PASSWORD)
    assert await shop.register_user(NAMED, PASSWORD) == made
    assert len(world.users.accounts) == 1


@pytest.mark.parametrize(
    ("again", "password"),
    [
        (ADA, PASSWORD),
        (replace(NAMED, request_id="second-try"), PASSWORD),
        (replace(NAMED, full_name="Ada King"), PASSWORD),
        (replace(NAMED, email="ada@new.example"), PASSWORD),
        (replace(NAMED, username="countess"), PASSWORD),
        (NAMED, "another horse"),
    ],
    ids=["unnamed", "request_id", "full_name", "email", "username", "password"],
)
async def test_any_other_registration_is_of_somebody_else(
    shop: UserUseCases, again: Registration, password: str
) -> None:
    await shop.register_user(NAMED, PASSWORD)
    with pytest.raises(AlreadyExists):
        await shop.register_user(again, password)


async def test_who_knows_a_registrations_name_cannot_guess_its_password(
    shop: UserUseCases,
) -> None:
    await shop.register_user(NAMED, PASSWORD)
    for _ in range(MAX_FAILURES):
        with pytest.raises(UsernameTaken):
            await shop.register_user(NAMED, "another horse")
    with pytest.raises(UsernameTaken):
        await shop.register_user(NAMED, PASSWORD)


async def test_a_bad_request_id_is_named(shop: UserUseCases) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.register_user(replace(ADA, request_id="a b"), PASSWORD)
    assert [violation.field for violation in refused.value.violations] == ["request_id"]


# Logging in


@pytest.mark.parametrize(
    "name", ["Ada", "aDA", "ADA@EXAMPLE.COM", "\uff21da", "ada\uff20example.com"]
)
async def test_username_and_address_log_in_in_any_case_and_width(
    shop: UserUseCases, ada: User, name: str
) -> None:
    login = await shop.authenticate_user(name, PASSWORD)
    assert login.user_id == ada.user_id
    assert login.access_token.text == f"customer:{ada.user_id}"


async def test_unknown_wrong_and_inactive_are_one_answer(
    world: World, shop: UserUseCases, ada: User
) -> None:
    answers = []
    for name, password in (("nobody", PASSWORD), ("ada", "wrong")):
        with pytest.raises(InvalidCredentials) as refused:
            await shop.authenticate_user(name, password)
        answers.append(str(refused.value))
    await world.users.update(ada.user_id, draft(active=False), ["active"])
    with pytest.raises(InvalidCredentials) as refused:
        await shop.authenticate_user("ada", PASSWORD)
    assert {*answers, str(refused.value)} == {answers[0]}


async def test_an_unknown_user_costs_a_hash_too(world: World, shop: UserUseCases) -> None:
    await world.fail_login("nobody", 1)
    assert world.passwords.verified == [None]


@pytest.mark.parametrize(
    ("name", "password", "bad"),
    [("", "x", "username"), ("x" * 255, "x", "username"), ("x", "", "password")],
)
async def test_what_nobody_can_be_called_is_not_counted_as_a_try(
    world: World, shop: UserUseCases, name: str, password: str, bad: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.authenticate_user(name, password)
    assert [violation.field for violation in refused.value.violations] == [bad]
    assert not world.throttle.tries


@pytest.mark.usefixtures("ada")
async def test_after_too_many_failures_even_the_right_password_must_wait(
    world: World, shop: UserUseCases
) -> None:
    await world.fail_login("ada", MAX_FAILURES)
    hashed = len(world.passwords.verified)
    with pytest.raises(LoginThrottled) as refused:
        await shop.authenticate_user("ada", PASSWORD)
    assert refused.value.retry_delay_s == WINDOW_S
    assert len(world.passwords.verified) == hashed


@pytest.mark.usefixtures("ada")
async def test_failures_count_for_the_account_by_whichever_name(
    world: World, shop: UserUseCases
) -> None:
    await world.fail_login("ada", MAX_FAILURES - 1)
    await world.fail_login("ada@example.com", 1)
    with pytest.raises(LoginThrottled):
        await shop.authenticate_user("ADA", PASSWORD)


async def test_unknown_names_are_throttled_alike(world: World, shop: UserUseCases) -> None:
    await world.fail_login("nobody", MAX_FAILURES)
    with pytest.raises(LoginThrottled):
        await shop.authenticate_user("NoBody", "wrong")


@pytest.mark.usefixtures("ada")
async def test_a_login_makes_earlier_failures_forgotten(world: World, shop: UserUseCases) -> None:
    await world.fail_login("ada", MAX_FAILURES - 1)
    await shop.authenticate_user("ada", PASSWORD)
    await world.fail_login("ada", MAX_FAILURES)


@pytest.mark.usefixtures("ada")
async def test_being_overloaded_counts_against_nobody(world: World, shop: UserUseCases) -> None:
    world.passwords.overloaded = True
    for _ in range(MAX_FAILURES + 1):
        with pytest.raises(LoginOverloaded):
            await shop.authenticate_user("ada", PASSWORD)
    world.passwords.overloaded = False
    await shop.authenticate_user("ada", PASSWORD)


async def test_what_finds_no_place_asks_the_store_nothing(world: World, shop: UserUseCases) -> None:
    world.passwords.overloaded = True
    with pytest.raises(LoginOverloaded):
        await shop.authenticate_user("ada", PASSWORD)
    assert world.users.asked == 0
    assert not world.throttle.tries


async def test_each_source_has_a_share_of_its_own_for_each_kind_of_work(
    world: World, shop: UserUseCases
) -> None:
    ada = await shop.register_user(ADA, PASSWORD, HOME)
    await shop.authenticate_user("ada", PASSWORD, HOME)
    await shop.authenticate_user("ada", PASSWORD, STRANGER)
    await shop.change_password(ada.user_id, PASSWORD, "another horse")
    assert len(set(world.passwords.shares)) == len(world.passwords.shares) == 4


@pytest.mark.usefixtures("ada")
async def test_strangers_do_not_lock_out_who_comes_from_where_the_account_logged_in_before(
    world: World, shop: UserUseCases
) -> None:
    await shop.authenticate_user("ada", PASSWORD, HOME)
    await world.fail_login("ada", MAX_FAILURES, STRANGER)
    with pytest.raises(LoginThrottled):
        await shop.authenticate_user("ada", PASSWORD, STRANGER)
    await shop.authenticate_user("ada", PASSWORD, HOME)


@pytest.mark.usefixtures("ada")
async def test_strangers_do_not_lock_out_who_has_a_refresh_token_of_before(
    world: World, shop: UserUseCases
) -> None:
    token = (await shop.authenticate_user("ada", PASSWORD, HOME)).refresh_token.text
    await shop.refresh_tokens(token)
    await world.fail_login("ada", MAX_FAILURES, STRANGER)
    with pytest.raises(LoginThrottled):
        await shop.authenticate_user("ada", PASSWORD, Client.of("192.0.2.1", "another.token"))
    again = await shop.authenticate_user("ada", PASSWORD, Client.of("192.0.2.1", token))
    await shop.refresh_tokens(again.refresh_token.text)


async def test_an_outdated_hash_is_made_anew_at_login(
    world: World, shop: UserUseCases, ada: User
) -> None:
    world.passwords.scheme = "newer"
    login = await shop.authenticate_user("ada", PASSWORD)
    assert world.users.accounts[ada.user_id].password_hash == f"newer:{PASSWORD}"
    await shop.refresh_tokens(login.refresh_token.text)


# Continuing and ending a login


@pytest.mark.usefixtures("ada")
async def test_a_refresh_may_be_repeated_until_its_answer_is_used(shop: UserUseCases) -> None:
    login = await shop.authenticate_user("ada", PASSWORD)
    continued = await shop.refresh_tokens(login.refresh_token.text)
    assert continued.refresh_token.text != login.refresh_token.text
    again = await shop.refresh_tokens(login.refresh_token.text)
    assert again.refresh_token == continued.refresh_token
    await shop.refresh_tokens(again.refresh_token.text)
    with pytest.raises(RefreshTokenReused):
        await shop.refresh_tokens(login.refresh_token.text)


@pytest.mark.usefixtures("ada")
async def test_using_an_old_refresh_token_ends_that_login_and_no_other(shop: UserUseCases) -> None:
    stolen = await shop.authenticate_user("ada", PASSWORD)
    other = await shop.authenticate_user("ada", PASSWORD)
    next_one = await shop.refresh_tokens(stolen.refresh_token.text)
    newest = await shop.refresh_tokens(next_one.refresh_token.text)
    with pytest.raises(RefreshTokenReused):
        await shop.refresh_tokens(stolen.refresh_token.text)
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(newest.refresh_token.text)
    await shop.refresh_tokens(other.refresh_token.text)


async def test_a_refreshed_login_has_the_role_of_now(
    world: World, shop: UserUseCases, ada: User
) -> None:
    login = await shop.authenticate_user("ada", PASSWORD)
    await world.users.update(ada.user_id, draft(role=Role.ADMIN), ["role"])
    continued = await shop.refresh_tokens(login.refresh_token.text)
    assert continued.access_token.text == f"admin:{ada.user_id}"


@pytest.mark.parametrize("text", ["nonsense", "a.b", "."])
async def test_a_text_that_was_never_a_token_is_invalid_and_may_be_revoked(
    shop: UserUseCases, text: str
) -> None:
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(text)
    await shop.revoke_tokens(text)


@pytest.mark.parametrize("text", ["", "x" * 257])
async def test_a_text_that_cannot_be_a_token_is_bad_input(shop: UserUseCases, text: str) -> None:
    for method in (shop.refresh_tokens, shop.revoke_tokens):
        with pytest.raises(InvalidArgument) as refused:
            await method(text)
        assert refused.value.violations[0].field == "refresh_token"


@pytest.mark.usefixtures("ada")
async def test_revoking_ends_the_login_by_a_used_token_too(shop: UserUseCases) -> None:
    login = await shop.authenticate_user("ada", PASSWORD)
    newest = await shop.refresh_tokens(login.refresh_token.text)
    await shop.revoke_tokens(login.refresh_token.text)
    await shop.revoke_tokens(login.refresh_token.text)
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(newest.refresh_token.text)


async def test_deactivating_a_user_ends_their_logins_for_good(
    shop: UserUseCases, ada: User, admin: Principal
) -> None:
    login = await shop.authenticate_user("ada", PASSWORD)
    for active in (False, True):
        await shop.update_user_profile(admin, ada.user_id, draft(active=active), ["active"])
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(login.refresh_token.text)


async def test_an_inactive_user_cannot_continue_a_login(
    shop: UserUseCases, ada: User, admin: Principal
) -> None:
    login = await shop.authenticate_user("ada", PASSWORD)
    await shop.update_user_profile(admin, ada.user_id, draft(active=False), ["active"])
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(login.refresh_token.text)


# Profiles


async def test_an_unknown_profile_is_not_found(shop: UserUseCases) -> None:
    with pytest.raises(UserNotFound) as refused:
        await shop.get_user_profile(UNKNOWN_ID)
    assert refused.value.metadata == {"user_id": UNKNOWN_ID}


async def test_users_change_their_own_address_and_name(shop: UserUseCases, ada: User) -> None:
    wanted = draft(email="ada@new.example", full_name="Ada King")
    user = await shop.update_user_profile(
        owner(ada), ada.user_id, wanted, ["email", "full_name"], PASSWORD
    )
    assert user == (await shop.get_user_profile(ada.user_id)).value
    assert (user.email, user.full_name) == ("ada@new.example", "Ada King")
    await shop.update_user_profile(owner(ada), ada.user_id, draft(full_name="A"), ["full_name"])


async def test_the_address_with_which_one_logs_in_is_changed_with_the_password_alone(
    world: World, shop: UserUseCases, ada: User, admin: Principal
) -> None:
    wanted = draft(email="thief@new.example")
    for principal in (owner(ada), Principal(ada.user_id, Role.ADMIN)):
        with pytest.raises(InvalidArgument) as refused:
            await shop.update_user_profile(principal, ada.user_id, wanted, ["email"])
        assert [v.field for v in refused.value.violations] == ["current_password"]
    for _ in range(MAX_FAILURES):
        with pytest.raises(InvalidCredentials):
            await shop.update_user_profile(owner(ada), ada.user_id, wanted, ["email"], "wrong")
    with pytest.raises(LoginThrottled):
        await shop.update_user_profile(owner(ada), ada.user_id, wanted, ["email"], PASSWORD)
    assert world.users.accounts[ada.user_id].user == ada
    user = await shop.update_user_profile(admin, ada.user_id, wanted, ["email"])
    assert user.email == "thief@new.example"


@pytest.mark.parametrize("name", ["role", "active"])
async def test_only_an_administrator_changes_role_and_activity(
    shop: UserUseCases, ada: User, admin: Principal, name: str
) -> None:
    wanted = draft(full_name="Ada", role=Role.ADMIN, active=False)
    for principal in (owner(ada), Principal("order", Role.SERVICE)):
        with pytest.raises(PermissionDenied) as refused:
            await shop.update_user_profile(principal, ada.user_id, wanted, ["full_name", name])
        assert refused.value.metadata == {"field": name}
    await shop.update_user_profile(admin, ada.user_id, wanted, ["full_name", name])


@pytest.mark.parametrize(
    "dismissal", [draft(role=Role.CUSTOMER, active=True), draft(role=Role.ADMIN, active=False)]
)
async def test_a_dismissed_administrator_administrates_nothing_with_the_token_of_before(
    world: World, shop: UserUseCases, ada: User, admin: Principal, dismissal: ProfileDraft
) -> None:
    login = await shop.authenticate_user("boss", PASSWORD)
    other = owner(await world.users.add(ADA_TOO, Role.ADMIN, "new:other"))
    await shop.update_user_profile(other, admin.subject, dismissal, ["role", "active"])
    again = draft(email="x@new.example", full_name="X", role=Role.ADMIN, active=True)
    for user_id, fields in (
        (admin.subject, ["role", "active"]),
        (admin.subject, ["role", "full_name"]),
        (ada.user_id, ["role"]),
        (ada.user_id, ["full_name"]),
        (ada.user_id, ["email"]),
    ):
        before = await world.users.find_account(user_id)
        with pytest.raises(NoAdministrator):
            await shop.update_user_profile(admin, user_id, again, fields)
        assert await world.users.find_account(user_id) == before
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(login.refresh_token.text)


@pytest.mark.parametrize(
    ("wanted", "field"), [(draft(role=Role.CUSTOMER), "role"), (draft(active=False), "active")]
)
async def test_an_administrator_cannot_dismiss_themselves_so_that_one_is_left(
    shop: UserUseCases, admin: Principal, wanted: ProfileDraft, field: str
) -> None:
    with pytest.raises(OwnAdministration):
        await shop.update_user_profile(admin, admin.subject, wanted, [field])
    keeping = draft(role=Role.ADMIN, active=True)
    user = await shop.update_user_profile(admin, admin.subject, keeping, ["role", "active"])
    assert (user.role, user.active) == (Role.ADMIN, True)


async def test_the_administrators_address_cannot_be_taken_over(
    shop: UserUseCases, ada: User
) -> None:
    with pytest.raises(EmailTaken):
        await shop.update_user_profile(
            owner(ada), ada.user_id, draft(email="ADMIN@shop.example"), ["email"]
        )


async def test_a_bad_update_names_every_bad_field(
    shop: UserUseCases, ada: User, admin: Principal
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.update_user_profile(
            admin, ada.user_id, draft(), ["email", "full_name", "role", "active"]
        )
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["user.email", "user.full_name", "user.role"]


# Changing a password


async def test_changing_the_password_ends_all_logins(shop: UserUseCases, ada: User) -> None:
    logins = [await shop.authenticate_user("ada", PASSWORD) for _ in range(2)]
    await shop.change_password(ada.user_id, PASSWORD, "another horse")
    for login in logins:
        with pytest.raises(RefreshTokenInvalid):
            await shop.refresh_tokens(login.refresh_token.text)
    await shop.authenticate_user("ada", "another horse")
    with pytest.raises(InvalidCredentials):
        await shop.authenticate_user("ada", PASSWORD)


async def test_a_login_under_way_while_the_password_changes_does_not_outlive_it(
    world: World, shop: UserUseCases, ada: User
) -> None:
    begun = await world.users.find_account(ada.user_id)
    assert begun is not None
    await shop.change_password(ada.user_id, PASSWORD, "another horse")
    late = await World(
        FakeUsersSeeing(world.users, begun), world.sessions
    ).usecases.authenticate_user("ada", PASSWORD)
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(late.refresh_token.text)


async def test_trying_current_passwords_is_throttled_by_itself(
    world: World, shop: UserUseCases, ada: User
) -> None:
    for _ in range(MAX_FAILURES):
        with pytest.raises(InvalidCredentials):
            await shop.change_password(ada.user_id, "wrong", "another horse")
    with pytest.raises(LoginThrottled):
        await shop.change_password(ada.user_id, PASSWORD, "another horse")
    await world.fail_login("ada", MAX_FAILURES)


async def test_who_is_logged_in_changes_the_password_whatever_strangers_tried(
    world: World, shop: UserUseCases, ada: User
) -> None:
    await world.fail_login("ada", MAX_FAILURES)
    await shop.change_password(ada.user_id, PASSWORD, "another horse")


async def test_of_two_changes_at_once_one_is_told_to_repeat(
    world: World, shop: UserUseCases, ada: User
) -> None:
    begun = await world.users.find_account(ada.user_id)
    assert begun is not None
    await shop.change_password(ada.user_id, PASSWORD, "another horse")
    late = World(FakeUsersSeeing(world.users, begun)).usecases
    with pytest.raises(PasswordChanged):
        await late.change_password(ada.user_id, PASSWORD, "third horse")
    await shop.authenticate_user("ada", "another horse")


async def test_a_bad_change_names_every_bad_field(shop: UserUseCases) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.change_password("me", "", "short")
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["user_id", "current_password", "new_password"]


# The administrator


async def test_the_administrator_is_made_once(world: World, shop: UserUseCases) -> None:
    await shop.ensure_admin(PASSWORD)
    login = await shop.authenticate_user("admin", PASSWORD)
    await shop.ensure_admin(PASSWORD)
    assert len(world.users.accounts) == 1
    continued = await shop.refresh_tokens(login.refresh_token.text)
    assert continued.access_token.text.startswith("admin:")


async def test_another_setting_replaces_the_password_and_ends_its_logins(
    shop: UserUseCases,
) -> None:
    await shop.ensure_admin(PASSWORD)
    login = await shop.authenticate_user("admin", PASSWORD)
    await shop.ensure_admin("another horse")
    with pytest.raises(RefreshTokenInvalid):
        await shop.refresh_tokens(login.refresh_token.text)
    await shop.authenticate_user("admin", "another horse")


async def test_an_admin_password_that_was_changed_because_it_leaked_does_not_come_back(
    shop: UserUseCases,
) -> None:
    await shop.ensure_admin(PASSWORD)
    user_id = (await shop.authenticate_user("admin", PASSWORD)).user_id
    await shop.change_password(user_id, PASSWORD, "another horse")
    await shop.ensure_admin(PASSWORD)
    await shop.authenticate_user("admin", "another horse")
    with pytest.raises(InvalidCredentials):
        await shop.authenticate_user("admin", PASSWORD)
    await shop.ensure_admin("third horse")
    await shop.authenticate_user("admin", "third horse")


async def test_an_account_of_before_settings_were_remembered_keeps_its_password(
    world: World, shop: UserUseCases
) -> None:
    await shop.ensure_admin("another horse")
    ((user_id, account),) = world.users.accounts.items()
    world.users.accounts[user_id] = replace(account, setting_hash=None)
    for _ in range(2):
        await shop.ensure_admin(PASSWORD)
        await shop.authenticate_user("admin", "another horse")
    await shop.ensure_admin("third horse")
    await shop.authenticate_user("admin", "third horse")


async def test_a_dismissed_administrator_is_back_when_the_setting_changes_and_not_before(
    shop: UserUseCases, admin: Principal
) -> None:
    await shop.ensure_admin(PASSWORD)
    login = await shop.authenticate_user("admin", PASSWORD)
    wanted = draft(role=Role.CUSTOMER, active=False)
    dismissed = await shop.update_user_profile(admin, login.user_id, wanted, ["role", "active"])
    await shop.ensure_admin(PASSWORD)
    assert (await shop.get_user_profile(login.user_id)).value == dismissed
    await shop.ensure_admin("another horse")
    again = await shop.authenticate_user("admin", "another horse")
    assert again.access_token.text.startswith("admin:")


async def test_of_processes_that_start_with_another_setting_at_once_one_applies_it(
    world: World, shop: UserUseCases
) -> None:
    await shop.ensure_admin(PASSWORD)
    (before,) = world.users.accounts.values()
    await shop.ensure_admin("another horse")
    (applied,) = world.users.accounts.values()
    await World(FakeUsersSeeing(world.users, before)).usecases.ensure_admin("another horse")
    assert list(world.users.accounts.values()) == [applied]


async def test_losing_the_race_to_make_the_administrator_is_fine_if_it_is_there(
    world: World, shop: UserUseCases
) -> None:
    await shop.ensure_admin(PASSWORD)
    with pytest.raises(UsernameTaken):  # the start is tried again
        await World(FakeUsersSeeing(world.users, None)).usecases.ensure_admin(PASSWORD)
    await shop.ensure_admin(PASSWORD)
    assert len(world.users.accounts) == 1
