"""Whether the cache keeps its promises under load and faults: ``make prove-cache``."""
