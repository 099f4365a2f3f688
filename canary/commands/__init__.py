"""What each command of `canary` takes and does: one module a command."""
