"""The workflows, run by act."""
