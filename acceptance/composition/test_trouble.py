"""What a runbook says of a service in trouble, by its own commands, on the real service."""

import re

import pytest

from acceptance.composition.trouble import SAYS, Trouble


@pytest.mark.cluster
def test_each_command_of_a_runbook_says_of_a_service_in_trouble_what_it_is_typed_for(
    empty_cluster, tmp_path, measured
):
    trouble = Trouble(empty_cluster, tmp_path)
    trouble.begin()
    said = dict(trouble.said())
    assert {
        command: text
        for command, text in said.items()
        if not re.search(SAYS[command], text, re.MULTILINE)
    } == {}
    measured("commands about a service in trouble", f"{len(said)} say what they are typed for")
