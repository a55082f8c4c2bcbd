"""The files that show a run: the report itself, a page for people and a picture for a README."""

from pathlib import Path

from loadtests.pages.page import page
from loadtests.pages.picture import picture
from loadtests.report_file import write_report
from loadtests.results import Report


def write(report: Report, folder: Path) -> list[Path]:
    """Write ``report.json``, ``report.html`` and ``latency.svg``, and return where they are.

    The folder is made if there is none. The page is one file that fetches nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("report.json", "report.html", "latency.svg")
    paths = [folder / name for name in names]
    write_report(report, paths[0])
    paths[1].write_text(page(report), encoding="utf-8")
    paths[2].write_text(picture(report), encoding="utf-8")
    return paths
