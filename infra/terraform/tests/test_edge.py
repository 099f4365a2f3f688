"""The firewall's policy, the attacks and the traffic; `make accept-edge` tries them for real."""

import configuration
import pytest
from gridos import create_app
from gridos.config import TABLE, Settings
from gridos.domain import batch

from acceptance import debian
from acceptance.edge import attacks, firewall, policy, traffic, wire
from canary.errors import MachineError

PROGRAMS = debian.Unpacked(policy.FILE.parent)


def test_both_sides_take_bodies_of_the_same_length():
    assert policy.read().body_limit_bytes == int(TABLE["max_body_bytes"].default)


def test_the_firewall_gets_what_terraform_states(tmp_path):
    rules = firewall.directives(policy.read(), PROGRAMS, tmp_path / "audit.log").splitlines()

    assert "SecRuleEngine On" in rules
    assert "SecRequestBodyLimit 1048576" in rules
    assert rules[-3:] == [
        'SecRuleUpdateTargetByTag "OWASP_CRS" "!REQUEST_HEADERS_NAMES:Content-Encoding"',
        "SecRuleRemoveById 920420",
        "SecRuleRemoveById 200002",
    ]


def test_a_policy_can_be_tried_without_any_one_of_its_exceptions():
    whole = policy.read()

    for exception in whole.exceptions:
        assert set(whole.without(exception).exceptions) == set(whole.exceptions) - {exception}


def test_every_exception_has_a_reason():
    assert all(len(exception.reason) > 40 for exception in policy.read().exceptions)


def test_a_file_without_a_policy_is_refused_by_name(tmp_path):
    empty = tmp_path / "main.waf.tf"
    empty.write_text("locals {\n  other = 1\n}\n")

    with pytest.raises(ValueError, match=r"main\.waf\.tf has no 'waf_body_limit_kib'"):
        policy.read(empty)


def test_there_are_a_hundred_attacks_and_each_is_another():
    tried = [attack for attack in attacks.read("key") if not attack.unread]

    assert len(tried) >= attacks.MIN_ATTACKS
    assert len({(attack.kind, attack.payload) for attack in tried}) == len(tried)
    kinds = {attack.owasp.split()[0] for attack in tried}
    assert kinds == {"A01", "A03", "A05", "A06", "A07", "A10"}


def test_the_traffic_is_every_operation_of_the_api():
    """A route that the service gains and the proof does not know is a hole in the proof."""
    client = create_app(Settings("postgresql://nowhere")).test_client()
    paths = client.get("/v1/openapi.json").get_json()["paths"]
    operations = {
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods
    }
    sent = {exchange.route for exchange in traffic.exchanges("key", policy.read().body_limit_bytes)}

    assert sent - {""} == operations


def test_the_largest_batch_is_as_large_as_both_sides_take():
    limit = policy.read().body_limit_bytes
    sent = [exchange for exchange in traffic.exchanges("key", limit) if exchange.large]
    bodies = [exchange.request.body or b"" for exchange in sent]

    assert traffic.MAX_READINGS == batch.MAX_READINGS
    assert 0.8 * limit < max(map(len, bodies)) <= limit


def test_an_answer_of_the_firewalls_is_told_from_one_of_the_services():
    assert firewall.reached(wire.Answer(403, {firewall.UPSTREAM_HEADER: "403"}, b""))
    assert not firewall.reached(wire.Answer(403, {}, b""))


def test_a_wall_that_blocks_our_own_traffic_is_a_finding(monkeypatch):
    """The test can fail: here every request is blocked."""
    monkeypatch.setattr(wire, "send", lambda *_: wire.Answer(403, {}, b""))

    class Wall:
        port = 1

        def matches(self):
            return {"1": ("942100", "949110")}

    sent = traffic.exchanges("key", policy.read().body_limit_bytes)
    complaints = [complaint for each in sent for complaint in traffic.amiss(Wall(), each, "1")]

    assert "the feeders: blocked with 403 by 942100, 949110" in complaints


def test_where_there_are_no_debian_packages_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MachineError, match="comes as a Debian package"):
        firewall.programs()


def test_the_resource_has_no_exceptions_but_those_of_the_locals():
    """That they are these is asserted in edge.tftest.hcl; here, that they are read from one place."""
    text = (configuration.SOURCE / "main.waf.tf").read_text()

    known = ("waf_exclusions", 'dynamic "exclusion"', "exclusion.value")
    assert text.count("exclusion") == sum(map(text.count, known))
