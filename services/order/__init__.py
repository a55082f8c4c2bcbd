"""The Order service: checkout, and what becomes of each order."""
