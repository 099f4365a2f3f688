"""Panels, runbooks and logs on a live stack."""
