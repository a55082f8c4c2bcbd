"""What keeps the stack from running, in words for the person who started it."""


class StackError(Exception):
    """The stack cannot go on; the message says why and what to do."""


class PortTakenError(StackError):
    """Another process listens on the port."""

    def __init__(self, port: int, remedy: str) -> None:
        super().__init__(f"port {port} is in use: {remedy}")
        self.port = port


class ChildEndedError(StackError):
    """A process of the stack ended by itself."""
