"""Who is calling: principals, signed tokens and the keys they are checked with."""
