"""How large a network may be: the largest of the published test feeders has 8,500 nodes."""

MOST_BUSES, MOST_LINES = 10_000, 20_000
