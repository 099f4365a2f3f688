"""What the service promises, put to the proof: short in the tests, long in `make prove-service`."""
