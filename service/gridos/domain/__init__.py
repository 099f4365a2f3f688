"""The grid itself: no Flask, no SQL, no clock."""
