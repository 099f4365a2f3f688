"""Observability that is tested: rules, alerts, dashboards, logs and runbooks of GridOS."""
