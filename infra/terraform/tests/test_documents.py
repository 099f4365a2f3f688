"""What is generated is current, and what is switched off has a reason."""

import configuration
import costs
import document
import pytest


def test_the_reference_is_what_the_code_says(capsys):
    assert document.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_reference_is_noticed_and_mended(tmp_path, monkeypatch, capsys):
    reference, stale = document.FILE, tmp_path / "REFERENCE.md"
    stale.write_text("old")
    monkeypatch.setattr(document, "FILE", stale)

    assert document.main(["--check"]) == 1
    assert "make terraform-docs" in capsys.readouterr().err
    assert stale.read_text() == "old"
    assert document.main([]) == 0
    assert stale.read_text() == reference.read_text()


def test_every_skip_has_a_reason_and_the_list_is_counted():
    """A new one has to be counted here too, which is where a reviewer asks why."""
    skips = document.skips()

    assert len(skips) == 23
    assert all(len(skip.reason) > 15 for skip in skips)


@pytest.mark.parametrize(
    ("description", "written"),
    [
        ("One line.", "One line."),
        ("a | b", r"a \| b"),
        ("<<-TEXT\n    first\n    second\n  TEXT", "first<br>second"),
    ],
)
def test_a_description_becomes_one_cell_of_a_table(description, written):
    assert document.sentence(description) == written


@pytest.mark.parametrize("environment", costs.ENVIRONMENTS)
def test_the_budget_is_the_estimate_and_some_room(environment):
    """Below, every month is an alarm; far above, none is."""
    budgets = configuration.load(configuration.SOURCE / "bootstrap" / "gridos.tfvars")
    budget = budgets["environments"][environment]["monthly_budget"]

    assert 1.1 < budget / costs.total(environment) < 1.4


def test_a_standby_is_paid_for_twice_and_a_copy_elsewhere_besides():
    prices = {"database": {"D": 100}, "each": {"database_gib": 0.5, "backup_gib": 0.1}}
    single = {"sku_name": "D", "storage_mb": 10240, "zone_redundant": False}

    assert costs.database({**single, "geo_redundant_backup": False}, prices) == 105
    both = {**single, "zone_redundant": True, "geo_redundant_backup": True}
    assert costs.database(both, prices) == 211


def test_defaults_are_written_as_one_writes_them():
    written = [document.default({"default": value}) for value in (True, None, ["1"], 30, "Self")]

    assert written == ["`true`", "`null`", '`["1"]`', "`30`", "`Self`"]
    assert document.default({}) == "required"
