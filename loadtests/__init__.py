"""What a client sees: Locust load on the three services, cached beside uncached, and its report."""

import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]

# Locust's environment does not have the project installed, and `locust -f` sets no path.
sys.path.append(str(PROJECT / "proto"))
