"""Traces with OpenTelemetry, which only what lies here knows, and only where it is switched on."""
