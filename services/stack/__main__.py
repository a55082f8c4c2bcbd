"""``python -m services.stack`` runs the whole shop on this machine."""

import argparse
import asyncio
import signal
import sys
from contextlib import suppress

from services.common.settings import UnusableSettingsError, read_settings
from services.stack.errors import StackError
from services.stack.settings import StackSettings
from services.stack.stack import run

_HELP = """\
Run the whole shop on this machine: MongoDB, Redis and the three services, with demonstration
data. Ctrl-C stops it; the data is kept.

It takes no arguments. Environment variables change what it does:
  SHOP_DATA_DIR            where data, secrets and logs are kept   (.data in the project)
  SHOP_MONGO_URI           use this MongoDB replica set instead of starting one
  SHOP_REDIS_URL           use this Redis instead of starting one
  SHOP_STACK_MONGO_PORT    port of the MongoDB it starts           (27017, or a free one)
  SHOP_STACK_REDIS_PORT    port of the Redis it starts             (6379, or a free one)
  SHOP_USER_PORT           port of the User service                (50051)
  SHOP_INVENTORY_PORT      port of the Inventory service           (50052)
  SHOP_ORDER_PORT          port of the Order service               (50053)
  SHOP_USER_METRICS_PORT, SHOP_INVENTORY_METRICS_PORT, SHOP_ORDER_METRICS_PORT
                           ports of their figures, 0 for none      (9101, 9102, 9103)
  SHOP_ADMIN_PASSWORD      password of the user `admin`            (generated)
  SHOP_SEED                false starts without demonstration data (true)
The other SHOP_* variables, which the README lists, reach the services as they are.
"""


def main() -> int:
    """Run until told to stop and return the exit code."""
    argparse.ArgumentParser(
        prog="python -m services.stack",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        asyncio.run(_run_until_told_to_stop(read_settings(StackSettings)))
    except UnusableSettingsError as error:
        sys.stderr.write(f"the stack cannot start:\n{error}\n")
        return 2
    except StackError:
        return 1
    return 0


async def _run_until_told_to_stop(settings: StackSettings) -> None:
    running = asyncio.create_task(run(settings))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: None)  # stopping is bounded; let it finish
        running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    with suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    sys.exit(main())
