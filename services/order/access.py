"""Who may call which RPC of the Order service."""

from typing import Final

from services.common.rpc.access import ADMIN_OR_SERVICE, SIGNED_IN, USER, AccessTable, acting_for

ACCESS: Final[AccessTable] = {
    "CreateOrder": USER,
    "GetOrder": SIGNED_IN,
    "ListUserOrders": acting_for(lambda request: request.user_id),
    "CancelOrder": SIGNED_IN,
    "UpdateOrderStatus": ADMIN_OR_SERVICE,
}
