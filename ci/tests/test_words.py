"""The words that texts may not use, and what counts as a text."""

import importlib.util
import sys
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def words(root) -> ModuleType:
    spec = importlib.util.spec_from_file_location("words", root / "ci/words.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def found(words, file, text):
    return [finding.found for finding in words.find(file, text, words.read()[0])]


@pytest.mark.parametrize(
    "sentence",
    [
        "Each look asks its query twice.",
        "The ground ended without an observation.",
        "The Rollout walks its steps.",
        "A stand-in for the database.",
        "Luck is granted.",
        "Two healthy releases were disturbed.",
        "It runs beside the steps.",
        "Paused for a person.",
        "The ways back were measured.",
        "The bar is 5 %.",
        "This proves that it works.",
        "Rolled back: a bad release.",
        "The result is no JSON.",
        "Trivy could not be had.",
        "The metric read nothing.",
        "The longest answer took 5 s.",
    ],
)
def test_a_sentence_with_a_private_word_is_refused(words, sentence):
    assert found(words, "page.md", sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Each measurement sends its query twice.",
        "The background analysis looks at the last minute, and it looks like a healthy release.",
        "There is no database, and it is no longer needed.",
        "`make prove-load` and `--ground cluster` are names, and so is acceptance/edge/prove_edge.py.",
        "The numbers stand in the AnalysisTemplate.",
        "[The rules](docs/guard.md) of the gates.",
    ],
)
def test_a_plain_sentence_passes(words, sentence):
    assert found(words, "page.md", sentence) == []


def test_only_strings_that_people_read_count_in_a_module(words):
    module = '"""Walks."""\n# It walks.\nwalk = "walk"\n\ndef f():\n    """It walks."""\n    say("It walks.")\n'
    assert found(words, "module.py", module) == ["walks"]
    assert found(words, "module.py", '"""It walks."""\nhelp = __doc__\n') == ["walks"]


def test_what_an_f_string_says_is_one_sentence(words):
    assert found(words, "module.py", 'say(f"they agree in {n} worlds")') == ["worlds"]
    assert found(words, "module.py", 'say(f"`{n} worlds` agree")') == []


def test_comments_of_yaml_and_code_of_pages_do_not_count(words):
    assert found(words, "rules.yaml", "# a walk\nsummary: it walks # a walk\n") == ["walks"]
    page = "```sh\nwalk it  # and look: it walks\n```\n"
    assert found(words, "page.md", page) == ["walks"]


def test_the_text_of_a_page_template_counts_and_its_markup_does_not(words):
    page = "<style>.walk {}</style>\n{% for look in looks %}<p class='walk'>a look: {{ look.at_s }}</p>\n"
    assert found(words, "report.html.j2", page) == ["a look"]


def test_a_finding_names_its_line_and_the_right_word(words):
    (finding,) = words.find("page.md", "One.\n\nTwo `walks`\nthat walk.\n", words.read()[0])
    assert str(finding) == (
        "page.md:4: 'walk'; say: virtual rollout, scenario, runbook drill, or run"
    )


def test_of_this_repositorys_texts_nothing_is_wrong_but_an_exception_that_nothing_needs(
    words, root, monkeypatch, tmp_path, capsys
):
    table = tmp_path / "words.toml"
    table.write_text(
        (root / "ci/words.toml").read_text()
        + '\n[[exception]]\nfile = "README.md"\nline = "nowhere"\nbecause = "no reason"\n'
    )
    monkeypatch.chdir(root)
    monkeypatch.setattr(words, "read", lambda read=words.read: read(table))
    assert words.main([]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "nothing needs the exception of README.md" in said


def test_a_readme_fits_its_screen(root):
    folders = [p for p in root.glob("*/**/README.md") if not {"out", ".venv"} & set(p.parts)]
    assert len(folders) > 8
    assert len((root / "README.md").read_text().splitlines()) <= 90
    assert {str(p): n for p in folders if (n := len(p.read_text().splitlines())) > 80} == {}
