"""A measured number as a person reads it."""

import pytest

from canary.rehearse import units


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("error-ratio", 0.02661, "2.7 %"),
        ("error-ratio", 0.01, "1 %"),
        ("error-ratio", 0.0, "0 %"),
        ("error-ratio", 0.001234, "0.12 %"),
        ("cpu-saturation-ratio", 1.0, "100 %"),
        ("p95-latency-seconds", 0.4842, "484 ms"),
        ("p95-latency-seconds", 0.0123, "12.3 ms"),
        ("p95-latency-seconds", 1.25, "1.2 s"),
        ("start-seconds", 12.0, "12 s"),
        ("canary-requests", 1600.0, "1600"),
        ("container-restarts", 4.0, "4"),
        ("p95", 0.41, "0.41"),
    ],
)
def test_a_value_has_the_unit_that_its_metrics_name_says(metric, value, said):
    assert units.shown(value, metric) == said
