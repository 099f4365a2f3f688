"""What a router's exporter would say: counted from the gateway's log, under the router's own words."""

import re

from canary.argo import manifests
from canary.argo.releases import HASHES
from canary.rehearse import edge, meter
from canary.tests.argo import shapes
from canary.yamls import Document


def families(*shape):
    bundle = manifests.read([Document("f", body) for body in shapes.manifests(shape)])
    return meter.families(bundle, manifests.rollout(bundle), HASHES)


def line(cluster, status, ms):
    return f"0.000\tGET\t/basket\t{status}\t-\t{ms}\t127.0.0.1:1\t{cluster}\n"


def rendered(tmp_path, found, *lines):
    log = tmp_path / "access.log"
    log.write_text("".join(lines))
    counts = meter.Counts(log)
    counts.read()
    return "\n".join(meter.render(counts, found))


def sample(text, name, **labels):
    """The value of the one series with these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [row for row in text.splitlines() if re.match(rf"{name}\{{", row)]
    (row,) = [row for row in lines if all(part in row for part in wanted)]
    return float(row.rpartition(" ")[2])


def test_istio_counts_each_service_by_status_for_both_reporters(tmp_path):
    found = families("istio", "istio", "timed", "plain", "none")
    lines = [line(edge.CANARY, 200, 3)] * 4 + [line(edge.CANARY, 503, 3), line(edge.STABLE, 200, 3)]
    text = rendered(tmp_path, found, *lines)
    for reporter in ("source", "destination"):
        canary = {"reporter": reporter, "destination_service_name": "shop-canary"}
        assert sample(text, "istio_requests_total", response_code="200", **canary) == 4
        assert sample(text, "istio_requests_total", response_code="503", **canary) == 1


def test_a_histogram_counts_what_took_at_most_its_bound(tmp_path):
    found = families("istio", "istio-p95", "timed", "plain", "none")
    text = rendered(tmp_path, found, *(line(edge.CANARY, 200, ms) for ms in (5, 6, 90000)))
    metric = "istio_request_duration_milliseconds"
    labels = {"reporter": "source", "destination_service_name": "shop-canary"}
    bucket = {bound: sample(text, f"{metric}_bucket", le=bound, **labels) for bound in ("5", "10")}
    assert bucket == {"5": 1, "10": 2}
    assert sample(text, f"{metric}_bucket", le="+Inf", **labels) == 3
    assert sample(text, f"{metric}_sum", **labels) == 90011


def test_nginx_names_the_stable_ingress_and_tells_the_canary_by_its_own_label(tmp_path):
    found = families("nginx", "nginx", "timed", "plain", "none")
    text = rendered(tmp_path, found, line(edge.CANARY, 500, 1), line(edge.STABLE, 200, 1))
    name = "nginx_ingress_controller_requests"
    assert sample(text, name, ingress="shop", status="500", canary="shop-shop-canary-80") == 1
    assert sample(text, name, ingress="shop", status="200", canary="") == 1


def test_only_what_a_gate_asks_for_is_counted():
    assert families("istio", "none", "timed", "plain", "none") == ()
    assert {f.name for f in families("smi", "linkerd", "timed", "plain", "none")} == {
        "response_total"
    }


def test_what_is_written_later_is_added_and_half_a_line_waits_for_its_end(tmp_path):
    log = tmp_path / "access.log"
    counts = meter.Counts(log)
    counts.read()
    whole = line(edge.STABLE, 200, 1)
    log.write_text(whole + whole[:9])
    counts.read()
    assert counts.requests == {(edge.STABLE, 200): 1}
    log.write_text(whole * 2)
    counts.read()
    assert counts.requests == {(edge.STABLE, 200): 2}
