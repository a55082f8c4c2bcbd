"""What the hashing of passwords does in this process, as plain numbers."""

from threading import Lock


class HashFigures:
    """How many of the ``places`` are taken, and what became of hashes so far.

    ``seconds`` is the time from taking a place to leaving it, in all.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.left = 0
        self.refused = 0
        self.seconds = 0.0
        self._lock = Lock()  # places are taken by the event loop and left by the pool's threads

    def take(self) -> None:
        """Count a place as taken."""
        with self._lock:
            self.taken += 1

    def leave(self, after_s: float) -> None:
        """Count a place as left."""
        with self._lock:
            self.taken -= 1
            self.left += 1
            self.seconds += after_s
