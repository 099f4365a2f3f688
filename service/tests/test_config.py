from pathlib import Path

import pytest
from gridos import cli
from gridos.config import TABLE, ConfigurationError, read

URL = {"GRIDOS_DATABASE_URL": "postgresql://x"}


def test_everything_has_a_default():
    settings = read({})
    assert (settings.port, settings.api_keys, settings.host) == (8000, "", "127.0.0.1")


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({**URL, "GRIDOS_DATABASE_AUTH": "magic"}, "give password or entra"),
        ({**URL, "PORT": "http"}, "PORT is 'http' — give a whole number"),
        ({**URL, "PORT": "70000"}, "from 1 to 65535"),
        ({**URL, "PORT": "²"}, "PORT is '²'"),
        ({**URL, "GRIDOS_LOG_LEVEL": "loud"}, "give debug, info, warning or error"),
        ({**URL, "GRIDOS_FAULTS": "errors=3"}, "GRIDOS_FAULTS: 'errors=3' is no fault"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_remedy(variables, complaint):
    with pytest.raises(ConfigurationError) as caught:
        read(variables)
    assert complaint in str(caught.value)


def test_the_readme_lists_every_setting():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for setting in TABLE.values():
        assert f"`{setting.variable}`" in readme


def test_help_keeps_every_setting_apart_from_its_meaning(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert [s for s in TABLE.values() if f"  {s.variable} " not in said] == []
