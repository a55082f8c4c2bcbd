"""Who may call which RPC of the Order service, and with how large a request."""

from collections.abc import Mapping
from typing import Final

from services.common.rpc.access import ADMIN_OR_SERVICE, SIGNED_IN, USER, AccessTable, acting_for

ACCESS: Final[AccessTable] = {
    "CreateOrder": USER,
    "GetOrder": SIGNED_IN,
    "ListUserOrders": acting_for(lambda request: request.user_id),
    "CancelOrder": SIGNED_IN,
    "UpdateOrderStatus": ADMIN_OR_SERVICE,
}

MAX_BYTES: Final[Mapping[str, int]] = {
    "CreateOrder": 16 * 1024,
}
"""Bytes of the largest request: about twice what its longest fields take; 1 KiB if not named."""
