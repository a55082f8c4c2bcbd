"""Processes that find no OpenTelemetry, as where the extra is not installed."""

import os
from pathlib import Path

_MISSING = (
    """raise ModuleNotFoundError("No module named 'opentelemetry'", name="opentelemetry")\n"""
)


def hiding_opentelemetry(folder: Path) -> dict[str, str]:
    """Return what to add to the environment of such a process; ``folder`` is kept for it."""
    hidden = folder / "opentelemetry"
    hidden.mkdir()
    (hidden / "__init__.py").write_text(_MISSING)
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), inherited)))}
