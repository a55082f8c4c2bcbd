"""The users of the shop for Locust's own command.

``locust -f loadtests/locustfile.py AbUser``, from the project's folder: with or without its web
interface, as ``--master`` or ``--worker``. Options say where the shop is; it must be running.
"""

from argparse import ArgumentParser
from typing import Any, Final

from locust import events
from locust.runners import WorkerRunner

from loadtests.engine import Engine
from loadtests.plan import Plan, Targets, add_load_options, given_targets, plan_of
from loadtests.shares_page import add_shares_chart
from loadtests.users import AbUser, BrowseUser, CheckoutUser, MixedUser, OrdersUser

__all__ = ["AbUser", "BrowseUser", "CheckoutUser", "MixedUser", "OrdersUser"]

_LAST_WORD_WITHIN_MS: Final = 1_000


def _add_options(parser: ArgumentParser, **_: Any) -> None:
    add_load_options(parser, scenario=None)


def _attach(environment: Any, **_: Any) -> None:
    engine = Engine(environment, lambda: _plan(environment))
    if environment.web_ui is not None:
        add_shares_chart(environment.web_ui, lambda: engine.ledger)


def _give_up_in_time(environment: Any, **_: Any) -> None:
    """Let a worker end although its master, which it still writes to, may be gone."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.client.socket.linger = _LAST_WORD_WITHIN_MS


def _plan(environment: Any) -> Plan:
    options = environment.parsed_options
    scenario = "ab" if AbUser in environment.user_classes else "mixed"
    users = environment.runner.target_user_count or options.num_users or 1
    return plan_of(options, scenario, users, given_targets(options) or Targets())


events.init_command_line_parser.add_listener(_add_options)
events.init.add_listener(_attach)
events.quitting.add_listener(_give_up_in_time)
