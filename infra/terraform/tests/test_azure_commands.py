"""The az commands that are written down are found, and one that az does not know is named."""

import azure_commands
import pytest


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("az aks show --name x", ("aks show", ("--name",))),
        ("id=$(az aks show --name x --query id)", ("aks show", ("--name", "--query"))),
        ("Type `az login` first.", ("login", ())),
        ("az aks \\\n  show --name x", ("aks show", ("--name",))),
        ('az aks command invoke --command "x --y"', ("aks command invoke", ("--command",))),
        ("export A=1\nfoo && az logout && az login", ("logout", ())),
    ],
)
def test_a_command_is_found_with_its_options(text, command):
    assert command in list(azure_commands.found(text))


def test_a_word_in_a_list_is_no_command():
    assert list(azure_commands.found("for program in terraform az jq psql; do")) == []


def test_what_documents_and_preflight_say_is_found():
    commands = dict(azure_commands.written())

    assert "--restore-time" in commands["postgres flexible-server restore"]
    assert "--namespace" in commands["feature show"]
    assert len(commands) > 40


def test_what_az_does_not_know_is_named(tmp_path):
    az = tmp_path / "az"
    az.write_text(
        """#!/bin/sh
case "$*" in
  "aks show --help") printf '\\nCommand\\n    az aks show\\n\\nArguments\\n    --name -n\\n' ;;
  *) exit 2 ;;
esac
"""
    )
    az.chmod(0o755)
    asked = [("aks show", ("--name", "--nmae")), ("aks shwo", ())]

    assert list(azure_commands.unknown(az, asked)) == [
        "az aks show: no option --nmae",
        "az aks shwo: no such command",
    ]
