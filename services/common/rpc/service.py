"""What a gRPC service is made of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from google.protobuf.descriptor import ServiceDescriptor

from services.common.rpc.access import AccessTable


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service: its contract, its handler and the rules of its methods.

    ``max_s`` gives the longest that methods may take, in seconds, and ``max_bytes`` the largest
    that requests may be, where it is not the default.
    ``unlimited`` names the methods that are let in however much there is to do: those with a limit
    of their own, and those that are steps of work which another service has already let in.
    ``cached`` names those that read through a cache.
    """

    descriptor: ServiceDescriptor
    servicer: object
    access: AccessTable
    max_s: Mapping[str, float]
    max_bytes: Mapping[str, int] = field(default_factory=dict)
    unlimited: Collection[str] = ()
    cached: Collection[str] = ()
