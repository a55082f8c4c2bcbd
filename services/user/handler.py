"""Between the messages of ``shop.user.v1`` and the use cases."""

from dataclasses import dataclass
from typing import Final

from shop.user.v1 import user_pb2 as pb
from shop.user.v1 import user_pb2_grpc as pb_grpc

from services.common.auth.principal import Role
from services.common.call import current_call
from services.common.rpc.messages import masked_fields, prepared, timestamp
from services.common.rpc.methods import Context
from services.common.rpc.transport import client_network
from services.user.model import PROFILE_FIELDS, Client, ProfileDraft, Registration, User
from services.user.usecases import UserUseCases

_ROLE_OF: Final = {pb.ROLE_CUSTOMER: Role.CUSTOMER, pb.ROLE_ADMIN: Role.ADMIN}
_MESSAGE_OF: Final = {role: number for number, role in _ROLE_OF.items()}


@dataclass(frozen=True, slots=True)
class UserHandler(pb_grpc.UserServiceServicer):
    """The User service as gRPC sees it."""

    usecases: UserUseCases

    async def RegisterUser(
        self, request: pb.RegisterUserRequest, context: Context
    ) -> pb.RegisterUserResponse:
        """Add a customer."""
        registration = Registration(
            request.username, request.email, request.full_name, request.request_id
        )
        client = Client(client_network(context))
        user = await self.usecases.register_user(registration, request.password, client)
        return pb.RegisterUserResponse(user=_user(user))

    async def AuthenticateUser(
        self, request: pb.AuthenticateUserRequest, context: Context
    ) -> pb.AuthenticateUserResponse:
        """Begin a login."""
        client = Client.of(client_network(context), request.refresh_token)
        login = await self.usecases.authenticate_user(request.username, request.password, client)
        return pb.AuthenticateUserResponse(
            access_token=login.access_token.text,
            refresh_token=login.refresh_token.text,
            expire_time=timestamp(login.access_token.expire_time),
            user_id=login.user_id,
        )

    async def RefreshTokens(
        self, request: pb.RefreshTokensRequest, context: Context
    ) -> pb.RefreshTokensResponse:
        """Continue a login."""
        login = await self.usecases.refresh_tokens(request.refresh_token)
        return pb.RefreshTokensResponse(
            access_token=login.access_token.text,
            refresh_token=login.refresh_token.text,
            expire_time=timestamp(login.access_token.expire_time),
            user_id=login.user_id,
        )

    async def RevokeTokens(
        self, request: pb.RevokeTokensRequest, context: Context
    ) -> pb.RevokeTokensResponse:
        """End a login."""
        await self.usecases.revoke_tokens(request.refresh_token)
        return pb.RevokeTokensResponse()

    async def GetUserProfile(
        self, request: pb.GetUserProfileRequest, context: Context
    ) -> pb.GetUserProfileResponse:
        """Return one user."""
        user = await self.usecases.get_user_profile(request.user_id)
        return prepared(user, _profile)

    async def UpdateUserProfile(
        self, request: pb.UpdateUserProfileRequest, context: Context
    ) -> pb.UpdateUserProfileResponse:
        """Change fields of a profile."""
        user = await self.usecases.update_user_profile(
            current_call().principal,
            request.user.user_id,
            _draft(request.user),
            masked_fields(request.user, request.update_mask, PROFILE_FIELDS),
            request.current_password,
        )
        return pb.UpdateUserProfileResponse(user=_user(user))

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: Context
    ) -> pb.ChangePasswordResponse:
        """Replace a password."""
        await self.usecases.change_password(
            request.user_id, request.current_password, request.new_password
        )
        return pb.ChangePasswordResponse()


def _draft(message: pb.User) -> ProfileDraft:
    return ProfileDraft(
        email=message.email,
        full_name=message.full_name,
        role=_ROLE_OF.get(message.role, Role.ANONYMOUS),
        active=message.active,
    )


def _profile(user: User) -> pb.GetUserProfileResponse:
    return pb.GetUserProfileResponse(user=_user(user))


def _user(user: User) -> pb.User:
    return pb.User(
        user_id=user.user_id,
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        role=_MESSAGE_OF[user.role],
        active=user.active,
        create_time=timestamp(user.create_time),
        update_time=timestamp(user.update_time),
    )
