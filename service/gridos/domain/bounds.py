"""How large a network may be, and how long an id.

The largest of the published test feeders has 8,500 nodes.
"""

MOST_BUSES, MOST_LINES = 10_000, 20_000
LONGEST_ID = 128
