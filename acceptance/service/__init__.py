"""What the service promises, under kills, restarts, outages and hostile requests."""
