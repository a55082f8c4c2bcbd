"""The embedded stack: MongoDB, Redis and the three services on one machine."""
