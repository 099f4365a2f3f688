"""A dashboard's page: panels drawn from answers, and honest where there is none."""

from observe import page
from observe.panels import Dashboard, Kind, Panel, Target, Unit
from observe.ranges import Series, Span, named

from canary.web.pages import Pages

SPAN = Span(1000.0, 1060.0, 5.0)
DRAWN = Panel("Failing <share>", "Of all.", Unit.RATIO, (Target("a", "x"),), limit="threshold")
NEEDY = Panel("Phase", "Of the Rollout.", Unit.COUNT, (Target("b", "y"),), needs="a controller")
NUMBER = Panel("Left", "Of the budget.", Unit.RATIO, (Target("a", "x"),), kind=Kind.STAT)


REQUESTS = Panel("Requests", "Of all.", Unit.COUNT, (Target("a", "x"),))


def steady(name, value):
    return Series(name, tuple((1000.0 + at, value) for at in range(0, 60, 5)))


def answers(query, legend):
    known = {"a": 0.02, "threshold": 0.01}
    return [steady(legend, known[query])] if query in known else []


def board(*panels, ask=answers):
    return page.board(Dashboard("uid", "Some", "About.", (("Row", panels),)), ask, SPAN, "Quiet.")


def test_a_panel_with_data_is_drawn_with_its_threshold_and_its_last_value():
    (chart,) = board(DRAWN).charts
    assert (chart.limit, chart.limit_words) == (1.0, "1 %")
    assert chart.words == "Failing <share>: x 2 %"


def test_a_number_is_said_in_its_unit():
    (panel,) = board(NUMBER).panels
    assert panel.numbers == ["2 %"]


def test_a_panel_without_data_says_what_it_needs():
    (panel,) = board(NEEDY).panels
    assert panel.missing == "Nothing here: it needs a controller."


def test_texts_are_escaped_and_nothing_is_fetched_from_elsewhere():
    nav = {"live": True, "boards": {"uid": "Some"}, "token": ""}
    shown = board(DRAWN, NEEDY, NUMBER)
    text = Pages(nav).render("board", here="uid", board=shown, chart_data="[]").decode()
    assert "Failing &lt;share&gt;" in text
    assert "http://" not in text
    assert "https://" not in text


def test_a_legend_is_filled_in_as_grafana_does():
    labels = {"track": "canary", "rollouts_pod_template_hash": "abc"}
    assert named("{{track}} {{rollouts_pod_template_hash}}", labels) == "canary abc"


def test_numbers_keep_four_digits_and_never_an_exponent():
    (chart,) = board(REQUESTS, ask=lambda _, legend: [steady(legend, 15412.3456)]).charts
    assert chart.words == "Requests: x 15,410"


def test_what_is_not_drawn_for_want_of_colours_is_counted():
    def many(query, legend):
        return [Series(f"s{i}", ((1000.0, i), (1005.0, i))) for i in range(page.COLOURS + 3)]

    (panel,) = board(DRAWN, ask=many).panels
    assert "3 more series are not drawn" in panel.text


def test_an_instant_that_one_series_lacks_is_a_gap_in_it_alone():
    def uneven(query, legend):
        return [Series("long", ((1000.0, 1.0), (1005.0, 2.0))), Series("short", ((1005.0, 3.0),))]

    (chart,) = board(REQUESTS, ask=uneven).charts
    assert chart.at_s == [-60.0, -55.0]
    assert [line.values for line in chart.lines] == [[1.0, 2.0], [None, 3.0]]


def test_the_canary_has_one_colour_in_every_panel_and_no_other_series_has_it():
    def tracks(query, legend):
        others = {"a": ("canary abc", "stable def"), "b": ("busy", "canary abc")}[query]
        return [steady(name, 1.0) for name in others]

    panels = [Panel(name, "Of all.", Unit.COUNT, (Target(name, "x"),)) for name in "ab"]
    roles = [{line.label: line.role for line in c.lines} for c in board(*panels, ask=tracks).charts]
    assert roles == [
        {"canary abc": "canary", "stable def": "stable"},
        {"busy": "s0", "canary abc": "canary"},
    ]
