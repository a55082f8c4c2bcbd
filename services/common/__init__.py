"""Mechanism that every service uses and that knows no service."""

import os

# The core of gRPC would write a line to standard error for each call that a stranger gets wrong,
# from the threads that serve. It looks once, when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
