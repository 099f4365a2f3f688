"""Checks of rendered manifests: security policies, sync order, and who may talk to whom."""
