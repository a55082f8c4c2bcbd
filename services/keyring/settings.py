"""Settings of the keyring: how long the services and their tokens have to be waited for."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.auth.reload import KEYS_REFRESH_S
from services.common.auth.tokens import ACCESS_TOKEN_LIFETIME_S, USER_ISSUER, ServiceIdentity
from services.common.settings import PREFIX, Seconds
from services.keyring.ring import Waits


class KeyringSettings(BaseSettings):
    """What the keyring reads, each from the variable ``SHOP_<NAME IN CAPITALS>``.

    Two of them are the services' own and must be what the services have.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    keys_refresh_s: Seconds = KEYS_REFRESH_S
    keys_spread_s: Annotated[float, Field(ge=0, le=86_400)] = 120.0
    access_token_lifetime_s: Annotated[int, Field(ge=1, le=86_400)] = ACCESS_TOKEN_LIFETIME_S

    @property
    def waits(self) -> Waits:
        """How long what was done must be left alone.

        A service that misses one look at its files is waited for.
        """
        return Waits(
            reach_s=self.keys_spread_s + 2 * self.keys_refresh_s,
            lifetimes_s={
                USER_ISSUER: self.access_token_lifetime_s,
                "order": ServiceIdentity.LIFETIME_S,
            },
        )
