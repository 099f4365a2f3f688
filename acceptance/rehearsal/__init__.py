"""Rehearsals of every kind of release."""
