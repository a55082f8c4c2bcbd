"""gRPC servers and channels: assembly, interceptors, access rules, error mapping."""
