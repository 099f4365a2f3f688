"""What the charts of the platform bring with our values, and whether our own parts fit it."""
