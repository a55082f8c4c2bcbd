"""Preparing the stores and secrets of a shop in containers: ``python -m services.provision``."""
