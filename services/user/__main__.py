"""``python -m services.user`` runs the User service."""

from services.common import imports
from services.common.entrypoint import run
from services.user import bootstrap
from services.user.settings import Settings

if __name__ == "__main__":
    imports.done()
    run("user", Settings, bootstrap.run)
