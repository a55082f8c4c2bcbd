import importlib
import re
from pathlib import Path

from services.check import SERVICES

ROOT = Path(__file__).parents[2]


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_the_image_exposes_the_ports_of_all_services_and_of_their_figures() -> None:
    settings = [importlib.import_module(f"services.{name}.settings").Settings for name in SERVICES]
    used = {
        kind.model_fields[f"{name}{port}"].default
        for name, kind in zip(SERVICES, settings, strict=True)
        for port in ("_port", "_metrics_port")
    }
    (exposed,) = (line for line in lines("Dockerfile") if line.startswith("EXPOSE "))
    assert set(map(int, exposed.split()[1:])) == used


def test_everything_that_is_copied_into_the_image_is_admitted_to_the_build() -> None:
    copied = {
        word
        for line in lines("Dockerfile")
        if re.match(r"COPY (?!--from)", line)
        for word in line.split()[1:-1]
    }
    admitted = {line[1:] for line in lines(".dockerignore") if line.startswith("!")}
    assert copied == admitted
