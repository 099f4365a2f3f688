"""A clone that is made one's own."""
