"""Makes the table, and what is in it, unless they are there."""

import os

import psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("CREATE TABLE IF NOT EXISTS quotes (id int PRIMARY KEY, text text NOT NULL)")
    database.execute(
        "INSERT INTO quotes SELECT n, 'Quote ' || n FROM generate_series(1, 9) n"
        " ON CONFLICT DO NOTHING"
    )
