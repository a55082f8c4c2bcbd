"""What the start of a process looks through for garbage."""

import ast
import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "services"

LOOKED_AT = """
import gc
from services.common import imports
off = not gc.isenabled()
imports.done()
print(off, gc.isenabled(), gc.get_freeze_count() > 1_000)
"""


async def test_nothing_is_looked_through_until_the_imports_are_done_and_they_never_are() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LOOKED_AT, stdout=PIPE)
    told, _ = await process.communicate()
    assert told.split() == [b"True", b"True", b"True"]


@pytest.mark.parametrize("service", ["user", "inventory", "order"])
def test_a_service_imports_nothing_before(service: str) -> None:
    module = ast.parse((SERVICES / service / "__main__.py").read_text())
    first = next(part for part in module.body if isinstance(part, ast.Import | ast.ImportFrom))
    assert ast.unparse(first) == "from services.common import imports"
