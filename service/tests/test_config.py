from dataclasses import fields
from pathlib import Path

import pytest
from gridos import cli
from gridos.config import TABLE, ConfigurationError, Settings, read

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
        (
            {**URL, "GRIDOS_FAULTS": "errors=3"},
            "GRIDOS_FAULTS: character 1: 'errors=3': expected a share such as 3%",
        ),
    ],
)
def test_what_makes_no_sense_is_named_with_its_remedy(variables, complaint):
    with pytest.raises(ConfigurationError) as caught:
        read(variables)
    assert complaint in str(caught.value)


def test_what_is_read_of_nothing_is_what_is_built_without_reading():
    assert read({}) == Settings()


def test_every_number_has_bounds_and_its_default_is_within_them():
    numbers = {each.name for each in fields(Settings) if each.type == "int"}
    assert numbers == {name for name, setting in TABLE.items() if setting.bounds}
    for setting in TABLE.values():
        for beyond in (setting.bounds[0] - 1, setting.bounds[1] + 1) if setting.bounds else ():
            with pytest.raises(ConfigurationError, match=setting.variable):
                read({setting.variable: str(beyond)})


def test_the_references_table_is_that_of_the_settings():
    page = (Path(__file__).parents[2] / "docs/reference/service.md").read_text("utf-8")
    rows = [f"| `{s.variable}` | {s.default} | {s.why} |" for s in TABLE.values()]
    table = "\n".join(["| variable | default | why |", "|---|---|---|", *rows])
    assert f"\n\n{table}\n\n" in page


def test_help_keeps_every_setting_apart_from_its_meaning(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert [s for s in TABLE.values() if f"  {s.variable} " not in said] == []
