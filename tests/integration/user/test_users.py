"""Users on a real MongoDB."""

import asyncio
from dataclasses import replace

import pytest
from pymongo.errors import WriteError

from services.common.auth.principal import Role
from services.common.ids import new_id
from services.user.model import (
    EmailTaken,
    NoAdministrator,
    ProfileDraft,
    Registration,
    User,
    UsernameTaken,
    UserNotFound,
)
from services.user.repository import prepare_schema
from tests.integration.user.conftest import ADA, People, someone

DRAFT = ProfileDraft("countess@example.org", "Countess", Role.ADMIN, active=False)
SPELLINGS = ("ada.l", "ADA.L", "Ada.L", "aDa.L")


async def test_a_new_user_is_found_by_id_username_and_address_in_any_case(
    people: People, ada: User
) -> None:
    assert (ada.username, ada.email, ada.full_name) == ("Ada.L", "Ada@Example.com", "Ada Lovelace")
    assert (ada.role, ada.active) == (Role.CUSTOMER, True)
    for _ in range(2):
        assert (await people.users.get(ada.user_id)).value == ada
    account = await people.account(ada)
    assert (account.user, account.password_hash, account.login_epoch) == (ada, "hash-1", 0)
    for name in (
        *SPELLINGS,
        "\uff41da.l",
        "ada@example.com",
        "ADA@EXAMPLE.COM",
        "ada\uff20example.com",
    ):
        assert await people.users.find_account_named(name) == account


async def test_what_a_registration_made_is_found_by_its_username_and_its_name(
    people: People, ada: User
) -> None:
    named = replace(someone(), request_id="first-try")
    user = await people.registered(named)
    assert await people.users.find_registered(named) == await people.account(user)
    for other in (
        replace(named, request_id="second-try"),
        replace(named, username="nobody"),
        replace(ADA, request_id="first-try"),
    ):
        assert await people.users.find_registered(other) is None


async def test_an_unknown_user_is_not_found(people: People) -> None:
    with pytest.raises(UserNotFound):
        await people.users.get(new_id())
    with pytest.raises(UserNotFound):
        await people.users.update(new_id(), DRAFT, ["full_name"])
    assert await people.users.find_account(new_id()) is None
    assert await people.users.find_account_named("nobody") is None
    assert await people.users.find_account_named("nobody@example.com") is None


async def test_of_concurrent_registrations_of_one_username_in_any_case_one_succeeds(
    people: People, rival: People
) -> None:
    outcomes = await asyncio.gather(
        *(
            side.registered(replace(someone(), username=username))
            for username in SPELLINGS
            for side in (people, rival)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, UsernameTaken) for outcome in outcomes) == 7


async def test_of_concurrent_registrations_of_one_address_in_any_case_one_succeeds(
    people: People, rival: People
) -> None:
    outcomes = await asyncio.gather(
        *(
            side.registered(replace(someone(), email=f"{name}@example.com"))
            for name in SPELLINGS
            for side in (people, rival)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 7


@pytest.mark.parametrize("field", ["email", "full_name", "role"])
async def test_an_update_changes_the_named_field_only(
    people: People, ada: User, field: str
) -> None:
    await people.users.get(ada.user_id)
    updated = await people.users.update(ada.user_id, DRAFT, [field])
    expected = replace(ada, **{field: getattr(DRAFT, field)}, update_time=updated.update_time)
    assert updated == expected
    assert updated.update_time >= ada.update_time
    assert (await people.users.get(ada.user_id)).value == expected
    assert (await people.account(ada)).login_epoch == 0


async def test_deactivating_ends_all_logins_and_activating_does_not_bring_them_back(
    people: People, ada: User
) -> None:
    assert not (await people.users.update(ada.user_id, DRAFT, ["active"])).active
    assert (await people.account(ada)).login_epoch == 1
    assert (await people.users.update(ada.user_id, replace(DRAFT, active=True), ["active"])).active
    assert (await people.account(ada)).login_epoch == 1


@pytest.fixture
async def bosses(people: People) -> list[User]:
    """Two administrators."""
    return [await people.users.add(someone(), Role.ADMIN, "hash-1") for _ in range(2)]


@pytest.mark.parametrize("field", ["role", "active"])
async def test_a_dismissed_administrator_has_no_logins_and_administrates_no_more(
    people: People, ada: User, bosses: list[User], field: str
) -> None:
    first, second = bosses
    customer = replace(DRAFT, role=Role.CUSTOMER)
    await people.users.get(second.user_id)
    await people.users.administrate(first.user_id, second.user_id, customer, [field])
    dismissed = await people.account(second)
    assert dismissed.login_epoch == 1
    assert (await people.users.get(second.user_id)).value == dismissed.user
    for user_id in (second.user_id, ada.user_id):
        with pytest.raises(NoAdministrator):
            await people.users.administrate(second.user_id, user_id, DRAFT, ["role"])
    assert (await people.account(second), (await people.account(ada)).user) == (dismissed, ada)


async def test_an_administrator_changes_the_role_of_others_whose_logins_go_on(
    people: People, ada: User, bosses: list[User]
) -> None:
    boss = bosses[0].user_id
    for draft in (DRAFT, replace(DRAFT, role=Role.CUSTOMER)):
        updated = await people.users.administrate(boss, ada.user_id, draft, ["role"])
        assert updated.role is draft.role
    assert (await people.account(ada)).login_epoch == 1  # from administrator to customer
    await people.users.administrate(boss, ada.user_id, draft, ["role"])
    assert (await people.account(ada)).login_epoch == 1  # was a customer before
    with pytest.raises(EmailTaken):
        await people.users.administrate(
            boss, bosses[1].user_id, replace(DRAFT, email=ADA.email), ["email"]
        )
    with pytest.raises(UserNotFound):
        await people.users.administrate(boss, new_id(), DRAFT, ["full_name"])


async def test_of_administrators_who_dismiss_each_other_at_once_one_is_left(
    people: People, rival: People, bosses: list[User]
) -> None:
    first, second = (boss.user_id for boss in bosses)
    customer = replace(DRAFT, role=Role.CUSTOMER)
    for _ in range(5):
        outcomes = await asyncio.gather(
            people.users.administrate(first, second, customer, ["role"]),
            rival.users.administrate(second, first, customer, ["role"]),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, NoAdministrator) for outcome in outcomes) == 1
        (left,) = (outcome.user_id for outcome in outcomes if isinstance(outcome, User))
        left = first if left == second else second
        await people.users.administrate(left, first, replace(DRAFT, role=Role.ADMIN), ["role"])
        await people.users.administrate(left, second, replace(DRAFT, role=Role.ADMIN), ["role"])


async def test_an_address_of_somebody_else_cannot_be_taken_in_any_case(
    people: People, ada: User
) -> None:
    other = await people.registered(someone())
    with pytest.raises(EmailTaken):
        await people.users.update(other.user_id, replace(DRAFT, email="ADA@example.COM"), ["email"])
    assert (await people.users.get(other.user_id)).value == other
    respelled = replace(DRAFT, email="ADA@example.COM")
    assert (await people.users.update(ada.user_id, respelled, ["email"])).email == respelled.email


async def test_an_address_left_is_free_and_no_longer_logs_in(people: People, ada: User) -> None:
    await people.users.update(ada.user_id, DRAFT, ["email"])
    assert await people.users.find_account_named(ADA.email) is None
    found = await people.users.find_account_named(DRAFT.email.upper())
    assert found is not None
    assert found.user.user_id == ada.user_id
    await people.registered(replace(someone(), email=ADA.email))


async def test_a_new_password_ends_all_logins(people: People, ada: User) -> None:
    account = await people.account(ada)
    assert await people.users.replace_password(account, "hash-2")
    changed = await people.account(ada)
    assert (changed.password_hash, changed.login_epoch) == ("hash-2", 1)
    assert not await people.users.replace_password(account, "hash-3")
    assert await people.account(ada) == changed


async def test_of_concurrent_new_passwords_one_is_taken(
    people: People, rival: People, ada: User
) -> None:
    account = await people.account(ada)
    hashes = [f"hash-{n}" for n in range(2, 12)]
    taken = await asyncio.gather(
        *(
            side.users.replace_password(account, password_hash)
            for password_hash, side in zip(hashes, [people, rival] * 5, strict=True)
        )
    )
    (winner,) = [hashed for hashed, won in zip(hashes, taken, strict=True) if won]
    changed = await people.account(ada)
    assert (changed.password_hash, changed.login_epoch) == (winner, 1)


async def test_another_hash_of_the_same_password_ends_no_login(people: People, ada: User) -> None:
    account = await people.account(ada)
    await people.users.upgrade_hash(account, "hash-2")
    upgraded = await people.account(ada)
    assert (upgraded.password_hash, upgraded.login_epoch) == ("hash-2", 0)
    await people.users.upgrade_hash(account, "hash-of-an-old-password")
    assert await people.account(ada) == upgraded


async def test_a_changed_setting_reinstates_the_administrator_once(
    people: People, ada: User
) -> None:
    account = await people.account(ada)
    for setting_hash in ("setting-1", "setting-9"):
        await people.users.remember_setting(account, setting_hash)
    account = await people.account(ada)
    assert (account.user, account.password_hash, account.setting_hash) == (
        ada,
        "hash-1",
        "setting-1",
    )
    await people.users.get(ada.user_id)
    for setting_hash in ("setting-2", "setting-9"):
        await people.users.reinstate(account, setting_hash)
    reinstated = await people.account(ada)
    assert (reinstated.password_hash, reinstated.setting_hash, reinstated.login_epoch) == (
        "setting-2",
        "setting-2",
        1,
    )
    assert (reinstated.user.role, reinstated.user.active) == (Role.ADMIN, True)
    assert (await people.users.get(ada.user_id)).value == reinstated.user


async def test_the_schema_may_be_prepared_again(people: People, ada: User) -> None:
    await asyncio.gather(*(prepare_schema(people.mongo) for _ in range(3)))
    assert (await people.users.get(ada.user_id)).value == ada
    with pytest.raises(UsernameTaken):
        await people.registered(Registration("ADA.l", "other@example.com", "Other"))


async def test_mongodb_itself_refuses_what_is_no_user(people: People, ada: User) -> None:
    users = people.mongo.collection("users")
    for change in (
        {"$set": {"role": "service"}},
        {"$set": {"login_epoch": -1}},
        {"$set": {"active": "yes"}},
        {"$unset": {"password_hash": ""}},
        {"$unset": {"email_key": ""}},
    ):
        with pytest.raises(WriteError, match="Document failed validation"):
            await users.update_one({"_id": ada.user_id}, change)
    assert (await people.users.get(ada.user_id)).value == ada
