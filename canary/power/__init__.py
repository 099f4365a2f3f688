"""Gates you can trust: lint them, compute their power, simulate releases, break them on purpose."""
