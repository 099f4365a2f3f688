"""The platform on a real Kubernetes: what is proven there, and how."""
