"""A real Prometheus, and its promtool."""

import asyncio
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from services.stack.ports import claimed_ports
from services.stack.processes import attended, running

PATIENCE_S = 60.0


def program(name: str) -> str:
    """Where Prometheus or its promtool is."""
    wanted = os.environ.get("SHOP_PROMETHEUS")
    if wanted:
        path = shutil.which(name, path=str(Path(shutil.which(wanted) or wanted).parent))
        if name == "prometheus":
            path = shutil.which(wanted)
    else:
        path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    assert path, (
        f"no {name}: `scripts/prometheus.sh .venv/bin` fetches one on Debian and Ubuntu, elsewhere "
        "install Prometheus, or name it in SHOP_PROMETHEUS with promtool in the same folder"
    )
    return path


async def promtool(*arguments: str | Path) -> tuple[int | None, str]:
    """Run promtool and return its exit code and all it says."""
    process = await asyncio.create_subprocess_exec(
        program("promtool"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


@dataclass(frozen=True, slots=True)
class Series:
    """What a query returned under one set of labels."""

    labels: Mapping[str, str]
    values: list[float]

    @property
    def finite(self) -> bool:
        """Whether any value is a number."""
        return any(isfinite(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus that began to scrape at ``began``, in seconds since the epoch."""

    port: int
    began: float

    async def drawn(self, expression: str) -> list[Series]:
        """What a panel would draw, from the beginning until now."""
        answer = await self._get(
            "query_range", query=expression, start=self.began, end=time.time(), step=1
        )
        return [
            Series(found["metric"], [float(value) for _, value in found["values"]])
            for found in answer["result"]
        ]

    async def knows(self, selector: str) -> bool:
        """Whether a series that a selector fits was ever seen."""
        answer = await self._get("query", query=f"count(last_over_time({selector}[1h]))")
        return bool(answer["result"])

    async def rules(self) -> dict[str, str]:
        """The health of each alert's rule: ok, unknown before its first evaluation, or err."""
        answer = await self._get("rules")
        return {
            rule["name"]: rule["health"] for group in answer["groups"] for rule in group["rules"]
        }

    async def _get(self, path: str, **query: str | float) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        return await asyncio.to_thread(_read, url)


@asynccontextmanager
async def running_prometheus(
    folder: Path, targets: Mapping[str, int], rules: Path
) -> AsyncIterator[Prometheus]:
    """Scrape these ports on loopback every second, each under its job's name."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in targets.items()
        ],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))  # which is YAML
    with claimed_ports(1) as (port,):
        command = [
            program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        prometheus = Prometheus(port, time.time())
        async with running("prometheus", command, folder / "log") as child:
            await attended([child], _ready(port))
            yield prometheus


async def _ready(port: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await asyncio.to_thread(_page, f"http://127.0.0.1:{port}/-/ready")
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


def _read(url: str) -> Any:
    answer = json.loads(_page(url))
    assert answer["status"] == "success", answer
    return answer["data"]


def _page(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=20) as page:  # noqa: S310 (http on loopback)
            text: bytes = page.read()
            return text
    except urllib.error.HTTPError as error:
        if error.code == 400:
            raise AssertionError(f"{url}: {error.read().decode()}") from None
        raise
