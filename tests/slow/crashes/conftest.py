"""The shop to break of the end-to-end tests."""

from tests.e2e.conftest import fragile_processes, fragile_shop, mongo_proxy, probe, redis_proxy

__all__ = ["fragile_processes", "fragile_shop", "mongo_proxy", "probe", "redis_proxy"]
