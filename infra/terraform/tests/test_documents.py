"""What is generated is current, and what is switched off has a reason."""

import document
import pytest


def test_the_reference_is_what_the_code_says(capsys):
    assert document.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_reference_is_noticed_and_mended(tmp_path, monkeypatch, capsys):
    stale = tmp_path / "REFERENCE.md"
    stale.write_text("old")
    monkeypatch.setattr(document, "FILE", stale)

    assert document.main(["--check"]) == 1
    assert "make terraform-docs" in capsys.readouterr().err
    assert stale.read_text() == "old"
    assert document.main([]) == 0
    assert document.main(["--check"]) == 0


def test_every_skip_has_a_reason_and_the_list_is_counted():
    """A new one has to be counted here too, which is where a reviewer asks why."""
    skips = document.skips()

    assert len(skips) == 17
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


def test_defaults_are_written_as_one_writes_them():
    written = [document.default({"default": value}) for value in (True, None, ["1"], 30, "Self")]

    assert written == ["`true`", "`null`", '`["1"]`', "`30`", "`Self`"]
    assert document.default({}) == "required"
