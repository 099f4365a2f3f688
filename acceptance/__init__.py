"""What takes longer than a test of `make test` may, or needs a cluster: `make accept-AREA`."""
