import importlib
import re
from pathlib import Path

from services.check import SERVICES

ROOT = Path(__file__).parents[2]


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def instructions() -> list[str]:
    """The instructions of the Dockerfile, each on one line."""
    bare = "\n".join(line for line in lines("Dockerfile") if not line.startswith("#"))
    return [line for line in bare.replace("\\\n", " ").splitlines() if line]


def test_all_is_built_on_the_base_that_is_given() -> None:
    stages = [line.split() for line in instructions() if line.startswith("FROM ")]
    own = {name for _, _, _, name in stages}
    assert {source for _, source, _, _ in stages} - own == {"${BASE}"}


def test_packages_are_installed_as_wheels_by_the_hashes_that_are_locked() -> None:
    installing = [line for line in instructions() if "pip install" in line]
    assert len(installing) == 2
    for line in installing:
        assert "--require-hashes" in line
        assert "--only-binary :all:" in line


def test_both_images_run_as_a_user_who_is_not_root() -> None:
    stages = "\n".join(instructions()).split("\nFROM ")
    images = [stage for stage in stages if "\nENTRYPOINT " in stage]
    assert len(images) == 2
    for stage in images:
        assert re.findall(r"\nUSER (.*)", stage) == ["10001:10001"]


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
