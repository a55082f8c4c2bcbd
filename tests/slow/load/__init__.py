"""How the services behave under load, abuse and the death of processes, as real processes."""
