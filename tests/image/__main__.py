"""``python -m tests.image COMMAND``: try the images that the buildah of this command has.

As root: what runs in a container runs as the image's user.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from loadtests.report_file import read_report
from services.demo.seed import seed
from services.stack.ports import claimed_ports
from services.stack.processes import running
from services.stack.services import SERVICES
from tests.image import contents, first_process
from tests.image.containers import UID, Buildah, Image, container
from tests.image.shop import ImageShop, running_shop

_JOURNEYS: Final = ("test_journeys", "test_permissions", "test_refusals")
_LOAD_WITHIN_S: Final = 180.0
_WORKERS: Final = 2
_BASE: Final = Image("localhost/base", (), (), "", {}, "")


def tell(text: str) -> None:
    """Say how far it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def look_into(buildah: Buildah, image: Image, writable: Sequence[str]) -> None:
    """See that an image holds what it should and nothing else, and tell its size."""
    with container(buildah, image) as held, container(buildah, _BASE) as base:
        assert image.user == f"{UID}:{UID}", image.user
        assert image.stop_signal == "SIGTERM"
        assert contents.tools_in(held.root) == []
        assert contents.installers_in(held.root) == []
        assert contents.writable_in(held.root) == list(writable)
        assert contents.not_compiled_in(held.root) == []
        assert not (held.root / "app/services/stack").exists()
        size, of_base = contents.size_mb(held.root), contents.size_mb(base.root)
    tell(f"{image.name}: {size:.0f} MB, {size - of_base:.0f} MB more than its base; no compiler,")
    tell(f"  no installer; runs as {image.user}, which may write to {writable or 'nothing'}")


async def try_journeys(at: ImageShop) -> None:
    """Let the end-to-end tests of what clients see pass on the shop."""
    tests = [f"tests/e2e/{name}.py" for name in _JOURNEYS]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *tests),
        env={**os.environ, **at.outside()},
    )
    assert await process.wait() == 0, "the journeys do not pass"


async def try_load(buildah: Buildah, image: Image, at: ImageShop, out: Path) -> None:
    """Put the shop under a short load, by a master and two workers in containers."""
    await seed(at.shop.doors, lambda _: None)
    targets = {f"SHOP_{name.upper()}_TARGET": at.shop.target(name) for name in SERVICES}
    with ExitStack() as opened:
        (port,) = opened.enter_context(claimed_ports(1))
        workers = [opened.enter_context(container(buildah, image)) for _ in range(_WORKERS)]
        held = opened.enter_context(container(buildah, image, targets, {out: "/app/out"}))
        join = ("worker", "--master", f"127.0.0.1:{port}")
        load = (
            *("master", "--port", str(port), "--workers", str(_WORKERS), "--out", "/app/out"),
            *("--scenario", "mixed", "--users", "8", "--duration", "5", "--warmup", "2"),
            *("--customers", "4", "--fail-error-rate", "0.01"),
        )
        async with (
            running("worker-1", workers[0].command(*join), at.folder.log("worker-1")) as first,
            running("worker-2", workers[1].command(*join), at.folder.log("worker-2")) as second,
            running("master", held.command(*load), at.folder.log("master")) as master,
            asyncio.timeout(_LOAD_WITHIN_S),
        ):
            codes = [await each.process.wait() for each in (master, first, second)]
    assert codes == [0, 0, 0], f"{codes}, see {at.folder.logs}"
    report = read_report(out / "report.json")
    calls = sum(sample.count for sample in report.samples)
    assert report.stock is not None
    assert report.stock.wrong == []
    tell(f"{_WORKERS} workers and a master in containers: {calls} calls in 5 s, the stock is right")


async def try_services(buildah: Buildah, image: Image, load: Image, path: Path) -> None:
    """Run the services out of the image."""
    async with running_shop(buildah, image, path / "shop") as at:
        tell("the services run out of the image, and its health check finds each of them serving")
        await try_journeys(at)
        await try_load(buildah, load, at, path / "load")
        codes = {service: await at.drain(service) for service in SERVICES}
        assert codes == dict.fromkeys(SERVICES, 0), codes
        tell("each service drains on SIGTERM and ends with 0")
        for service in SERVICES:
            for workers in (1, 2):
                code = await first_process.serves_and_drains(at, service, workers=workers)
                assert code == 0, f"{service} with {workers} workers ended with {code}"
            assert await first_process.ends_before_it_serves(at, service)
        tell("so it does as a first process on a read-only root, with one worker and with two,")
        tell("  and it ends at once if SIGTERM comes before it serves")


def main(argv: Sequence[str]) -> int:
    """Try all of it and return the exit code."""
    program, *options = argv[0].split()
    buildah = Buildah((shutil.which(program) or program, *options))
    image, load = Image.named(buildah, "shop"), Image.named(buildah, "shop-load")
    look_into(buildah, image, writable=[])
    look_into(buildah, load, writable=["/app/out"])
    with tempfile.TemporaryDirectory(prefix="shop-image-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "load"
        out.mkdir()
        os.chown(out, UID, UID)
        try:
            asyncio.run(try_services(buildah, image, load, Path(folder)))
        except BaseException:
            _show_logs(Path(folder))
            raise
    tell("the images work")
    return 0


def _show_logs(folder: Path) -> None:
    for log in sorted((folder / "shop/logs").glob("*.log")):
        last = log.read_text(errors="replace").splitlines()[-15:]
        tell("\n  ".join([f"---- {log.name}", *last]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
