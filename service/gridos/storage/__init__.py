"""PostgreSQL: the pool, and one statement for each thing the API does."""
