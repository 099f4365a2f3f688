"""The platform on a real Kubernetes: what is tested there, and how."""
