"""Runs of rehearsals in a browser: the one under way, live, and those of the past."""
