"""What can keep a shop from being prepared."""


class ProvisionError(Exception):
    """Something cannot be prepared; the message says what to do."""
