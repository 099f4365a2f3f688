"""The command line: what it prints, and what it refuses."""

import json
from pathlib import Path

import pytest
from loadtesting import cli


@pytest.fixture
def loadtest(root, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def run(*arguments):
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_profiles_are_listed_with_their_faults_and_sizes(loadtest):
    code, out, _ = loadtest("profiles")
    assert code == 0
    for word in ("errors-bad", "errors=3%", "latency=400ms@10%", "cpu=90%", "INCONCLUSIVE", "601"):
        assert word in out


def test_a_nearer_pair_prints_what_it_needs(loadtest):
    _, out, _ = loadtest("profiles", "--pair", "0.5%,1.5%", "-o", "json")
    (profile,) = [p for p in json.loads(out) if p["name"] == "errors-good"]
    assert profile["needed"] == pytest.approx(5000, rel=0.1)


REFUSED = [
    (("run", "fast", "--host", "http://127.0.0.1:9"), "no profile 'fast'"),
    (("run", "smoke", "--host", "http://127.0.0.1:9", "--shape", "often"), "not a stretch"),
    (("run", "smoke", "--host", "http://127.0.0.1:9", "--api-key-file", "none"), "does not exist"),
    (("run", "smoke", "--host", "http://127.0.0.1:9", "--manifests", "none"), "does not exist"),
    (("compare", "none.json", "none.json"), "none.json"),
    (("compare", "README.md", "README.md"), "is not JSON"),
    (("profiles", "--pair", "2%,3%"), "either side"),
    (("run", "errors-bad", "--host", "http://127.0.0.1:9", "--pair", "4%,6%"), "errors 1%"),
    (("run", "smoke", "--host", "http://127.0.0.1:9", "--closed", "--processes", "2"), "--closed"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_what_cannot_be_used_is_one_line_and_code_2(loadtest, arguments, words):
    code, _, err = loadtest(*arguments)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("profile", "asked"), [("cpu-bad", True), ("soak", True), ("smoke", False)]
)
def test_what_cannot_be_judged_without_prometheus_is_said_at_the_start(loadtest, profile, asked):
    _, out, _ = loadtest("run", profile, "--host", "http://127.0.0.1:9")
    assert ("no --prometheus" in out) is asked


UNREADABLE = [
    (("--rate", "fast"), "'fast' is not a number"),
    (("--rate", "inf"), "'inf' is not a finite number above 0"),
    (("--users", "0"), "'0' is not a whole number above 0"),
    (("--pair", "1%"), "not a pair such as 0.5%,1.5%"),
]


@pytest.mark.parametrize(("options", "words"), UNREADABLE)
def test_what_is_no_value_of_an_option_is_said_in_words(capsys, options, words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "smoke", "--host", "http://127.0.0.1:9", *options])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_fault_of_our_own_is_code_4_without_a_traceback(loadtest, monkeypatch):
    from loadtesting import commands

    def broken(_):
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "profiles", broken)
    code, _, err = loadtest("profiles")
    assert (code, err.count("\n")) == (4, 1)
    assert "Traceback" not in err
    log = Path(err.split("please report ")[1].strip())
    assert "ZeroDivisionError" in log.read_text()
    log.unlink()


@pytest.mark.parametrize("command", ["run", "compare", "profiles"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "exit codes:" in capsys.readouterr().out
