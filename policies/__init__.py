"""Checks of rendered manifests: schemas, security policies and sync order."""
