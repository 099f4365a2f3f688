"""The programs that a rehearsal starts, and how they end."""
