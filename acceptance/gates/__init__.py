"""What the gates see of thousands of releases."""
