"""Every rule, by its id: those of each family, in the order in which they are documented."""

from canary.lint import condition, controller, query, schema, spec, steps, values
from canary.lint.rule import Rule

RULES: dict[str, Rule] = {
    rule.id: rule
    for family in (spec, schema, controller, query, condition, values, steps)
    for rule in family.rule
}
