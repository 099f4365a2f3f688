"""A measured number as a person reads it."""

import pytest

from canary.rehearse import units


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("error-ratio", 0.02661, "2.7 %"),
        ("error-ratio", 0.01, "1 %"),
        ("failed-share", 0.125, "12.5 %"),
        ("errors-against-stable", 4.2e9, "over a million"),
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


@pytest.mark.parametrize(
    ("metric", "value", "clause"),
    [
        ("error-ratio", 0.02661, "2.7 % of canary requests failed"),
        ("p95-latency-seconds", 0.484, "the canary's p95 latency was 484 ms"),
        ("cpu-saturation-ratio", 0.884, "the canary's CPU saturation was 88.4 %"),
        ("container-restarts", 1.0, "the canary had 1 container restart"),
        ("canary-requests", 34.0, "the canary had 34 requests"),
        ("p95-against-stable", 4.2, "the canary's p95-against-stable was 4.2"),
    ],
)
def test_a_value_is_said_as_the_main_clause_of_the_verdict(metric, value, clause):
    assert units.said(value, metric) == clause
