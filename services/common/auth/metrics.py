"""Figures about the keys of a process."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.common.auth.reload import LiveKeys

_KEY_LABELS = ("issuer", "key_id")


class KeyMetrics(Collector):
    """Which keys are trusted, which one signs, and how often a file of keys was not usable."""

    def __init__(self, keys: LiveKeys) -> None:
        self._keys = keys

    def collect(self) -> Iterable[Metric]:
        """Return the samples of this moment."""
        trusted = GaugeMetricFamily(
            "shop_trusted_keys", "Public keys that are trusted.", labels=_KEY_LABELS
        )
        for key_id, key in self._keys.verifier.trusted.items():
            trusted.add_metric((key.issuer, key_id), 1)
        yield trusted
        signing = GaugeMetricFamily(
            "shop_signing_key_info", "The key that signs tokens.", labels=_KEY_LABELS
        )
        if self._keys.signer is not None:
            signing.add_metric((self._keys.signer.issuer, self._keys.signer.key_id), 1)
        yield signing
        failures = CounterMetricFamily(
            "shop_keys_reload_failures",
            "Readings of a file of keys that was not usable; the keys from before stayed.",
            labels=("file",),
        )
        for file in self._keys.files:
            failures.add_metric((file.name,), file.failures)
        yield failures
