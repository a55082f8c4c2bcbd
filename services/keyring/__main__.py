"""``python -m services.keyring`` keeps the signing keys."""

import sys

from services.keyring.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
