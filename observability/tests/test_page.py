"""The page: panels drawn from answers, and honest where there is none."""

from observe import page
from observe.page import Head
from observe.panels import Dashboard, Kind, Panel, Target, Unit
from observe.ranges import Series, Span, named

SPAN = Span(1000.0, 1060.0, 5.0)
DRAWN = Panel("Failing <share>", "Of all.", Unit.RATIO, (Target("a", "x"),), limit="threshold")
NEEDY = Panel("Phase", "Of the Rollout.", Unit.COUNT, (Target("b", "y"),), needs="a controller")
NUMBER = Panel("Left", "Of the budget.", Unit.RATIO, (Target("a", "x"),), kind=Kind.STAT)
DASHBOARD = Dashboard("uid", "Some", "About.", (("Row", (DRAWN, NEEDY, NUMBER)),))


def answers(query, legend):
    known = {"a": 0.02, "threshold": 0.01}
    if query not in known:
        return []
    return [Series(legend, tuple((1000.0 + at, known[query]) for at in range(0, 60, 5)))]


def drawn():
    return page.render(Head("Title", "Text."), [DASHBOARD], answers, SPAN)


def test_a_panel_with_data_is_drawn_with_its_threshold_and_its_last_value():
    text = drawn()
    assert text.count("<svg") == 1
    assert 'class="limit"' in text
    assert "x 2 %" in text


def test_a_number_is_said_in_its_unit():
    assert '<p class="number">2 %</p>' in drawn()


def test_a_panel_without_data_says_what_it_needs():
    assert "nothing here: it needs a controller" in drawn()


def test_texts_are_escaped_and_nothing_is_fetched_from_elsewhere():
    text = drawn()
    assert "Failing &lt;share&gt;" in text
    assert "http://" not in text
    assert "https://" not in text


def test_a_legend_is_filled_in_as_grafana_does():
    labels = {"track": "canary", "rollouts_pod_template_hash": "abc"}
    assert named("{{track}} {{rollouts_pod_template_hash}}", labels) == "canary abc"


def test_numbers_keep_four_digits_and_never_an_exponent():
    def large(query, legend):
        return [Series(legend, tuple((1000.0 + at, 15412.3456) for at in range(0, 60, 5)))]

    panel = Panel("Requests", "Of all.", Unit.COUNT, (Target("a", "x"),))
    shown = Dashboard("uid", "Some", "About.", (("Row", (panel,)),))
    assert "x 15,410" in page.render(Head("Title", "Text."), [shown], large, SPAN)


def test_what_is_not_drawn_for_want_of_colours_is_counted():
    def many(query, legend):
        return [Series(f"s{i}", ((1000.0, i), (1005.0, i))) for i in range(page.COLOURS + 3)]

    shown = Dashboard("uid", "Some", "About.", (("Row", (DRAWN,)),))
    assert "and 3 more" in page.render(Head("Title", "Text."), [shown], many, SPAN)


def test_every_dashboard_can_be_jumped_to():
    assert '<a href="#uid">Some</a>' in drawn()


def test_the_canary_has_one_colour_in_every_panel_and_no_other_series_has_it():
    def tracks(query, legend):
        points = tuple((1000.0 + at, 1.0) for at in range(0, 60, 5))
        others = {"a": ("canary abc", "stable def"), "b": ("busy", "canary abc")}[query]
        return [Series(name, points) for name in others]

    panels = tuple(Panel(name, "Of all.", Unit.COUNT, (Target(name, "x"),)) for name in "ab")
    text = page.render(
        Head("Title", "Text."), [Dashboard("uid", "Some", "", (("Row", panels),))], tracks, SPAN
    )
    assert text.count('<i class="hue canary"></i>canary abc') == 2
    assert '<i class="hue stable"></i>stable def' in text
    assert '<i class="hue s0"></i>busy' in text
