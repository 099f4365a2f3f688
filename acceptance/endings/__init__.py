"""Programs that are ended at any time."""
