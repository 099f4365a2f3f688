"""`make adopt`: what it refuses, and that its rules are those of this tree; acceptance adopts one."""

import re
import shutil
import tomllib

import pytest

from acceptance.git import git
from adopt import adopt


@pytest.fixture
def rules():
    return tomllib.loads((adopt.HERE / "adopt.toml").read_text())


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with a project's name and nothing else."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "gridos"\n')
    (tmp_path / "service").mkdir()
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "one"]):
        git(tmp_path, *words)
    monkeypatch.setattr(adopt, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def refused(clone, capsys):
    """Calls the program, which ends for unusable input; returns the one line that it says."""

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            adopt.main(words)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Orders"], "2 to 12 of a-z and 0-9"),
        (["order-desk"], "2 to 12 of a-z and 0-9"),
        (["1st"], "a letter first"),
        (["a"], "2 to 12"),
        (["a" * 13], "2 to 12"),
        ([""], "2 to 12"),
        (["orders\n"], "2 to 12"),
        (["class"], "a Python module or a folder already"),
        (["json"], "a Python module or a folder already"),
        (["flask"], "a Python module or a folder already"),
        (["service"], "a Python module or a folder already"),
        (["orders", "--metrics", "a-b"], "is not a metric's prefix"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_by_one_line(refused, words, said):
    line = refused(*words)
    assert line.startswith("adopt: ")
    assert said in line


def test_a_tree_with_changes_is_refused(clone, refused):
    (clone / "service/mine.py").write_text("")
    assert "commit or discard" in refused("orders")


def test_a_second_time_is_refused(clone, refused):
    (clone / "pyproject.toml").write_text('[project]\nname = "parcels"\n')
    assert "is parcels already" in refused("orders")


@pytest.fixture
def adopted(root, tmp_path, rules):
    """The files that the rules change, changed: each rule finds what it is for, or this fails."""
    for path in [*rules["remove"], *rules["edit"], *rules["drop"], *rules["unlock"]]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (root / path).is_dir() else shutil.copy
        copy(root / path, tmp_path / path)
    adopt.replace_the_grid(tmp_path, rules)
    return tmp_path


def test_no_page_of_an_adopted_clone_names_a_target_that_it_lacks(root, adopted, rules):
    def targets(makefile):
        return set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile.read_text(), re.MULTILINE))

    gone = targets(root / "Makefile") - targets(adopted / "Makefile")
    assert "accept-adopt" in gone
    pages = git(root, "ls-files", "*.md", ".github/workflows/*.yaml").split()
    left = [page for page in pages if not page.startswith(tuple(rules["remove"]))]
    texts = {
        page: ((adopted if (adopted / page).exists() else root) / page).read_text() for page in left
    }
    assert len(texts) > 50
    named = re.compile(rf"make ({'|'.join(gone)})\b")
    assert {page: named.findall(text) for page, text in texts.items() if named.search(text)} == {}
