"""The customers of the demonstration shop and what they ordered, the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.demo.catalogue import SeedProduct

_FULL_NAMES: Final = (
    "Anna Lindqvist",
    "Marco Bellini",
    "Sofia Papadaki",
    "Jonas Weber",
    "Camille Fournier",
    "Tomasz Zielinski",
    "Ines Carvalho",
    "Liam Gallagher-Byrne",
    "Eva Novotna",
    "Mikkel Sorensen",
    "Laura van Dijk",
    "Andrei Munteanu",
    "Katarina Horvat",
    "Pablo Serrano",
    "Aino Virtanen",
    "Dimitar Petrov",
    "Greta Kazlauskaite",
    "Lukas Steiner",
    "Noemi Szabo",
    "Hugo Lambert",
)
_MOST_LINES: Final = 4
_FEWEST_ORDERS: Final = 3


@dataclass(frozen=True, slots=True)
class SeedOrder:
    """One order as the seeds place it: how many of which sku."""

    request_id: str
    quantities: dict[str, int]


@dataclass(frozen=True, slots=True)
class SeedCustomer:
    """One customer as the seeds register them, with 3 to 6 orders."""

    username: str
    email: str
    full_name: str
    orders: Sequence[SeedOrder]


def customers(products: Sequence[SeedProduct]) -> Sequence[SeedCustomer]:
    """Return all customers, who order from the given products."""
    return [
        SeedCustomer(
            username=f"customer{number:02}",
            email=f"customer{number:02}@example.com",
            full_name=full_name,
            orders=_orders(products, number),
        )
        for number, full_name in enumerate(_FULL_NAMES, start=1)
    ]


def _orders(products: Sequence[SeedProduct], customer: int) -> Sequence[SeedOrder]:
    count = _FEWEST_ORDERS + customer % 4
    return [_order(products, customer, number) for number in range(1, count + 1)]


def _order(products: Sequence[SeedProduct], customer: int, number: int) -> SeedOrder:
    # Strides without a common divisor spread the orders over the whole catalogue.
    first = 53 * customer + 17 * number
    lines = range(1 + (customer + number) % _MOST_LINES)
    return SeedOrder(
        request_id=f"seed-{number}",
        quantities={
            products[(first + 211 * line) % len(products)].sku: 1 + (first + line) % 3
            for line in lines
        },
    )
