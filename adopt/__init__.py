"""`make adopt`: a clone becomes somebody's own."""
