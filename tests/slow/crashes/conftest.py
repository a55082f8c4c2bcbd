"""The shops of the end-to-end tests."""

from tests.e2e.conftest import (
    admin,
    customer,
    fragile_processes,
    fragile_shop,
    fragile_variables,
    given_shop,
    mongo_proxy,
    own_shop,
    own_shop_on_grpcio,
    probe,
    product_id,
    pytest_generate_tests,
    redis_proxy,
    shop,
    stranger,
    transport,
)

__all__ = [
    "admin",
    "customer",
    "fragile_processes",
    "fragile_shop",
    "fragile_variables",
    "given_shop",
    "mongo_proxy",
    "own_shop",
    "own_shop_on_grpcio",
    "probe",
    "product_id",
    "pytest_generate_tests",
    "redis_proxy",
    "shop",
    "stranger",
    "transport",
]
