"""``python -m services.inventory`` runs the Inventory service."""

from services.common.entrypoint import run
from services.inventory import bootstrap
from services.inventory.settings import Settings

if __name__ == "__main__":
    run("inventory", Settings, bootstrap.run)
