"""All that traces a service, for its seams."""

from functools import partial

from opentelemetry.trace import Tracer

from services.common.instruments import Instruments
from services.common.tracing.flights import TracedBatcher
from services.common.tracing.mongo import TracedCommands
from services.common.tracing.peers import TracedPeerCaller
from services.common.tracing.redis import TracedRedis
from services.common.tracing.roots import Roots
from services.common.tracing.server import TracingInterceptor
from services.common.tracing.work import traced_work


def instruments_of(tracer: Tracer, sample_ratio: float) -> Instruments:
    """Return what makes spans at every seam, for a share of the calls that belong to no trace."""
    roots = Roots(sample_ratio)
    return Instruments(
        interceptors=(TracingInterceptor(tracer, roots),),
        peer_caller=partial(TracedPeerCaller, tracer=tracer),
        mongo_listeners=(TracedCommands(tracer),),
        redis=partial(TracedRedis, tracer),
        batcher=TracedBatcher,
        work=partial(traced_work, tracer, roots),
    )
