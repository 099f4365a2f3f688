"""A release, rehearsed on this machine or on a cluster."""
