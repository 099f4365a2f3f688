"""What the service costs, side by side with what else there is: `make accept-bench`."""
