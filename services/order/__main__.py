"""``python -m services.order`` runs the Order service."""

from services.common import imports
from services.common.entrypoint import run
from services.order import bootstrap
from services.order.settings import Settings

if __name__ == "__main__":
    imports.done()
    run("order", Settings, bootstrap.run)
