"""The groups of what is compared, a subject each."""
