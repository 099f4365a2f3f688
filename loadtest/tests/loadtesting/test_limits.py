"""The limits come from the manifests, and nowhere else."""

import re
import shutil

import pytest
from loadtesting import limits as reading

from canary.errors import UsageError


@pytest.fixture
def copy(root, tmp_path):
    """A copy of the manifests, and a way to change a text in its gates."""
    folder = tmp_path / "base"
    shutil.copytree(root / "deploy/base", folder)

    def change(old, new, file="analysis-release-gates.yaml"):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        return reading.read(folder, root / "loadtest/rehearsal.yaml")

    return change


def test_each_limit_follows_its_argument(copy, limits):
    text = f'value: "{limits.max_error_ratio}"'
    changed = copy(text, 'value: "0.02"', "analysis-release-guard.yaml")
    assert changed.max_error_ratio == 0.02


def test_the_quantile_is_the_gates(copy, limits):
    changed = copy(f"scalar(\n                {limits.quantile}", "scalar(0.9")
    assert changed.quantile == 0.9
    assert changed.max_slow_ratio == pytest.approx(0.1)


def test_a_missing_limit_is_named(copy):
    with pytest.raises(UsageError, match="argument max-error-ratio"):
        copy("- name: max-error-ratio", "- name: other", "analysis-release-guard.yaml")


def test_the_cpu_query_is_the_gates_own(limits):
    assert "container_cpu_usage_seconds_total" in limits.cpu_query
    assert "{{args.window}}" in limits.cpu_query


def test_no_module_repeats_a_limit(root, limits):
    numbers = (limits.max_error_ratio, limits.max_latency_s, limits.max_cpu_saturation)
    literals = re.compile(
        r"(?<![\w.])(?:" + "|".join(re.escape(str(n)) for n in numbers) + r")(?!\d)"
    )
    # A sleep, a bucket bound and a polling time are no limits.
    harmless = {"BUCKETS_S", "sleep", "confidence"}
    for file in (root / "loadtest/loadtesting").glob("*.py"):
        for line in file.read_text().splitlines():
            if not any(word in line for word in harmless):
                assert not literals.search(line.partition("#")[0]), f"{file.name}: {line}"
