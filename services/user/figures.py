"""What the hashing of passwords does in this process, as plain numbers."""


class HashFigures:
    """How many of the ``places`` are taken, how many calls got none, and the hashes so far.

    ``seconds`` is the time that hashes took, with the wait for their turn, in all.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.refused = 0
        self.made = 0
        self.seconds = 0.0

    def note(self, took_s: float) -> None:
        """Count a hash as made."""
        self.made += 1
        self.seconds += took_s
