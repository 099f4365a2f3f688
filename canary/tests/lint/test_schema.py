"""What the API server does not take is said before it is asked."""

import pytest
import yaml

from canary.argo import promql, threshold
from canary.cli import main
from canary.lint import check
from canary.power import catalogue
from canary.tests.lint import edited
from canary.tests.lint.edited import metric, put

CANARY = "spec.strategy.canary"


def refused(kind, path, value):
    """What the rule says of the good release with one edit, and where."""
    found = check.lint(edited.release(put(kind, path, value))).findings
    return [(f.path, f.message) for f in found if f.rule == "api-refused"]


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"),
    [
        ("Rollout", f"{CANARY}.steps", "abc", '"abc" is not of type "array"'),
        ("Rollout", f"{CANARY}.steps[0]", 5, '5 is not of type "object"'),
        ("Rollout", f"{CANARY}.steps[0].setWeight", "10", '"10" is not of type "integer"'),
        ("Rollout", f"{CANARY}.maxSurge", {}, "{} is neither a whole number nor a text"),
        ("Rollout", "spec.paused", "yes", '"yes" is not of type "boolean"'),
        ("Rollout", f"{CANARY}.steps[2].analysis.args[0].name", 5, '5 is not of type "string"'),
        ("AnalysisTemplate", "spec.metrics", 5, '5 is not of type "array"'),
        ("AnalysisTemplate", "spec.args[0].value", 5, '5 is not of type "string"'),
        ("AnalysisTemplate", "spec.metrics[0].successCondition", [1], 'is not of type "string"'),
    ],
)
def test_a_value_of_another_type_is_accused_by_its_field(kind, path, value, said):
    ((where, message),) = refused(kind, path, value)
    assert where == path
    assert said in message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{CANARY}.maxSurge", "25%"),
        (f"{CANARY}.maxSurge", 1),
        (f"{CANARY}.steps[1].pause", {"duration": 60}),
        (f"{CANARY}.trafficRouting", {"nginx": None}),
        ("spec.ofTomorrow", True),
    ],
)
def test_what_is_null_or_not_known_to_the_schema_is_pruned_and_not_refused(path, value):
    assert refused("Rollout", path, value) == []


def test_an_argument_that_a_librarys_template_does_not_declare_has_no_value_ever():
    (template,) = (d for d in catalogue.good_release() if d.kind == "AnalysisTemplate")
    unknown = metric("error-ratio", "result < {{args.zz}}", "successCondition")
    found = check.lint(edited.release(unknown, of=[template])).findings
    assert [f.message for f in found if f.rule == "args-unresolved"] == [
        "error-ratio: {{args.zz}} is not among the template's args"
    ]


@pytest.mark.parametrize(
    "program", [["power"], ["simulate"], ["design", "--detect", "2%"], ["blind"]]
)
@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{CANARY}.steps", "abc", "is not of type"),
        (f"{CANARY}.steps[0].setWeight", 101, "is not between 0 and 100"),
        (
            f"{CANARY}.steps[2].analysis.templates",
            [{"templateName": "gone"}],
            "'gone' is not among",
        ),
    ],
)
def test_nothing_is_foretold_of_a_release_that_the_cluster_refuses(
    program, path, value, said, tmp_path, capsys
):
    documents = edited.release(put("Rollout", path, value))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(d.body for d in documents))
    assert main([*program, str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("query", ["(" * 400, "-" * 400 + "up", " + ".join(["up"] * 400)])
def test_what_nests_deeper_than_a_stack_is_refused_as_such(query):
    with pytest.raises(promql.PromqlError, match="more than 300"):
        promql.parse(query)
    with pytest.raises(threshold.expression.ExpressionError, match="more than 300"):
        threshold.expression.parse(query)
    many = " + ".join(["up"] * 200)
    assert len(list(promql.nodes(promql.parse(many).tree))) == 399


def test_operators_in_texts_and_comments_are_not_counted():
    text = "(" * 400
    assert promql.parse(f'up{{job="{text}"}} # {text}').selectors
