"""Figures about a running process, for Prometheus."""
