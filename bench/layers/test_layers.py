"""All groups of layers as benchmarks, for ``python -m bench.layers``."""

from bench.layers.groups import (
    callers,
    chain,
    checkouts,
    codec,
    cold_reads,
    mongo_loads,
    near_hits,
    reads,
    redis_hits,
    transports,
)
from bench.layers.reporting import benchmarks

# What needs no service comes first: a service that idles costs those who are measured a little.
test_layer = benchmarks(
    [
        *codec.GROUPS,
        *callers.GROUPS,
        *chain.GROUPS,
        *near_hits.GROUPS,
        *redis_hits.GROUPS,
        *mongo_loads.GROUPS,
        *cold_reads.GROUPS,
        *transports.GROUPS,
        *reads.GROUPS,
        *checkouts.GROUPS,
    ]
)
