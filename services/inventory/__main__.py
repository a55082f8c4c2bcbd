"""``python -m services.inventory`` runs the Inventory service."""

from services.common import imports
from services.common.entrypoint import run
from services.inventory import bootstrap
from services.inventory.settings import Settings

if __name__ == "__main__":
    imports.done()
    run("inventory", Settings, bootstrap.run)
