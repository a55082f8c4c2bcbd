"""Nothing shares a round trip."""

from typing import Any

from services.common.batching import Batcher


def mutate() -> None:
    """Let every batch hold what one caller asks for."""
    kind: Any = Batcher
    begin = kind.__init__

    def alone(batcher: Any, run: Any, at_most: int, **options: Any) -> None:
        begin(batcher, run, min(at_most, 1), **options)

    kind.__init__ = alone
