"""What takes longer than a test may, or needs a cluster: run by the prove targets."""
