"""What is wrong with a gate, read from its manifests."""
