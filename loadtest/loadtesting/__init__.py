"""Load that can fail: profiles that exercise each gate, and a verdict with its reasons."""
