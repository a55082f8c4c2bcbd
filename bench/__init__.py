"""What each layer costs, measured in interleaved rounds on one machine."""
