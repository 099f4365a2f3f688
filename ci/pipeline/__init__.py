"""What the workflows do beyond calling make: small programs that a laptop can run and tests do."""
