"""What a client process is told: where the shop is, and what it may read and change."""

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Stocked:
    """A product that is only ever sold, so that its stock says how many pieces were."""

    product_id: str
    initial: int


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who keeps changing their profile and keeps buying one product of their own."""

    user_id: str
    token: str
    buys: Stocked


@dataclass(frozen=True, slots=True)
class Assets:
    """What is read and changed; each thing is changed by one client process."""

    updated: list[str]
    """Products that are updated."""
    reserved: list[Stocked]
    """Products of which pieces are reserved."""
    customers: list[Customer]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it. ``addresses`` maps each process, as ``inventory-0``, to where it is."""

    addresses: dict[str, str]
    admin: str
    """A token of an administrator, who may ask for freshness."""
    service: str
    """A token of a service that calls Inventory."""
    assets: Assets
    seed: int
    readers: int
    clients: int
    number: int = 0
    """Which of the clients this is."""
    history: str = field(default="")
    """The file to write at the end."""

    def to_json(self) -> bytes:
        """Return it as one line."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "Plan":
        """Return the plan of such a line."""
        fields: dict[str, Any] = orjson.loads(line)
        assets = fields.pop("assets")
        return cls(
            assets=Assets(
                assets["updated"],
                [Stocked(**stocked) for stocked in assets["reserved"]],
                [
                    Customer(c["user_id"], c["token"], Stocked(**c["buys"]))
                    for c in assets["customers"]
                ],
            ),
            **fields,
        )

    def is_mine(self, index: int) -> bool:
        """Whether this client changes the thing with this place in its list."""
        return index % self.clients == self.number
