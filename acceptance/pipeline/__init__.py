"""Concurrent overlay updates, and the way from a commit to a canary."""
