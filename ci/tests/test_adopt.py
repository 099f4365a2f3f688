"""`make adopt`: what it refuses, and that its rules are those of this tree; acceptance adopts one."""

import re
import shutil
import subprocess
import tomllib

import pytest
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
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(adopt, "ROOT", tmp_path)
    return tmp_path


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
def test_a_name_that_cannot_be_used_is_refused_by_one_line(clone, capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        adopt.main(words)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("adopt: ")
    assert said in line


def test_a_tree_with_changes_is_refused(clone, capsys):
    (clone / "service/mine.py").write_text("")
    with pytest.raises(SystemExit) as ended:
        adopt.main(["orders"])
    assert (ended.value.code, "commit or discard" in capsys.readouterr().err) == (2, True)


def test_a_second_time_is_refused(clone, capsys):
    (clone / "pyproject.toml").write_text('[project]\nname = "parcels"\n')
    with pytest.raises(SystemExit) as ended:
        adopt.main(["orders"])
    assert (ended.value.code, "is parcels already" in capsys.readouterr().err) == (2, True)


def test_every_rule_finds_what_it_is_for(root, tmp_path, rules):
    """So that whoever changes a file sees here which rule to change with it."""
    for path in rules["remove"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (root / path).is_dir() else shutil.copy
        copy(root / path, tmp_path / path)
    for path in {**rules["edit"], **rules["drop"], **rules["unlock"]}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, tmp_path / path)
    adopt.replace_the_grid(tmp_path, rules)


def test_a_rename_takes_the_words_of_routes_and_of_the_name(rules):
    words = [(re.compile(old), new) for old, new in rules["rename"]]
    words += adopt.own_name("orders", "shop")
    for before, after in {
        "GET /v1/feeders/{feeder_id}/load": "GET /v1/items/{item_id}",
        "@example/grid-reliability, GridOS": "@example/orders-reliability, Orders",
        "GRIDOS_API_KEYS=k:readings+networks": "ORDERS_API_KEYS=k:items+read",
        "gridos_db_up and gridos:slo_objective of gridos:1.2": "shop_db_up and shop:slo_objective of orders:1.2",
        "from gridos.api import health": "from orders.api import health",
        "display: grid": "display: grid",
    }.items():
        assert adopt.renamed(before, words) == after
