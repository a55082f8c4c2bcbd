"""Read-through caching of store lookups in Redis."""
