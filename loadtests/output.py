"""Where a report goes."""

from pathlib import Path
from typing import Final

from loadtests.report_file import write_report
from loadtests.results import Report

JSON: Final = "report.json"


def write(report: Report, folder: Path) -> list[Path]:
    """Write everything that a reader may want into a folder and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JSON
    write_report(report, path)
    return [path]
