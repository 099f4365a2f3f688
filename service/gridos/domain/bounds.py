"""How large a network may be, and how long an id.

The largest of the published test feeders has 8,500 nodes.
"""

MAX_BUSES, MAX_LINES = 10_000, 20_000
MAX_ID = 128
