"""A panel's query as a server takes it: Grafana's variables filled in."""

import re

from observe.panels import Panel

_BUILT_IN = {"$__rate_interval": "rate", "$__auto": "rate", "$__range": "range"}


def filled(query: str, rate: str = "1m", span: str = "1h") -> str:
    """The query with ranges of `rate` and `span`, and every choice set to all."""
    values = {"rate": rate, "range": span}
    for variable, which in _BUILT_IN.items():
        query = query.replace(variable, values[which])
    return re.sub(r"\$\w+", ".*", query)


def of_panel(panel: Panel) -> list[str]:
    """Every query of a panel, its threshold's included, as written."""
    return [*(target.query for target in panel.targets), *([panel.limit] if panel.limit else [])]
