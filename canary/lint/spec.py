"""Rules about what is written: references, arguments, counts, and what cannot be read."""

import re
from collections.abc import Iterator

from canary.argo import promql, threshold
from canary.argo.gates import Strategy
from canary.argo.promql import PromqlError
from canary.argo.resolve import PLACEHOLDER
from canary.argo.templates import Templates
from canary.lint import pods
from canary.lint.rule import Asked, Context, Family, Hit, at, metrics
from canary.yamls import listed, mapping, scalar

_URL = re.compile(r"\w+://(?:[^/@:]*:(?P<secret>[^/@]*)@)?(?P<host>[^/]+)")

rule = Family()


@rule("template-missing")
def _template_missing(context: Context) -> Iterator[Hit]:
    if not any(analysis.missing for analysis in context.release.analyses):
        return
    known = Templates(context.documents)
    for analysis in context.release.analyses:
        for reference in analysis.missing:
            others = ", ".join(map(str, known.named(reference.name)))
            hint = f"; there is {others}" if others else ""
            message = f"{reference} is not among the manifests{hint}"
            yield context.release.rollout, analysis.moment.path, message


@rule("monitor-without-port")
def _monitor_without_port(context: Context) -> Iterator[Hit]:
    for document, message in pods.unscraped(context.documents, context.release.rollout):
        yield document, "spec.podMetricsEndpoints", message
    for document in pods.unselecting(context.documents, context.release.rollout):
        yield document, "spec.selector", "it has the Rollout's name and selects none of its pods"


@rule("promql-invalid")
def _promql_invalid(context: Context) -> Iterator[Hit]:
    for asked in metrics(context):
        try:
            promql.parse(asked.metric.query)
        except PromqlError as wrong:
            if not asked.gate.unresolved:
                yield at(asked.gate, f"{wrong}", ".provider.prometheus.query")


@rule("address-unusable")
def _address_unusable(context: Context) -> Iterator[Hit]:
    for gate, address in ((asked.gate, asked.metric.address) for asked in metrics(context)):
        prometheus = mapping(mapping(gate.raw.get("provider")).get("prometheus"))
        where = ".provider.prometheus.address"
        for header in map(mapping, listed(prometheus.get("headers"))):
            told = scalar(header.get("value")) and "{{" not in scalar(header.get("value"))
            if told and scalar(header.get("key")).lower() == "authorization":
                yield at(gate, "the header Authorization holds its value", where)
        if not address or PLACEHOLDER.search(address):
            continue
        url = _URL.match(address)
        if url is None:
            yield at(gate, f"{address!r} is not a URL", where)
        elif url["secret"]:
            yield at(gate, f"the address of {url['host']} holds a password", where)


@rule.over(metrics, "condition-invalid")
def _condition_invalid(asked: Asked) -> Iterator[str]:
    if asked.gate.unresolved:
        return
    wrong = threshold.syntax_error(asked.metric)
    if wrong and not threshold.unread(asked.metric):
        yield wrong
    if asked.gate.broken:
        yield asked.gate.broken


@rule("args-dropped")
def _args_dropped(context: Context) -> Iterator[Hit]:
    for analysis in context.release.analyses:
        for name in analysis.dropped:
            if not analysis.missing:
                where = analysis.moment.path
                yield context.release.rollout, where, f"argument {name!r} is dropped"


@rule("args-unresolved")
def _args_unresolved(context: Context) -> Iterator[Hit]:
    library = context.release.strategy is Strategy.NONE
    for gate in context.release.gates:
        declared = {scalar(mapping(a).get("name")) for a in listed(gate.template.spec.get("args"))}
        for name in gate.unresolved:
            # Who refers to a template of a library gives its arguments a value, if it has them.
            if not library:
                yield at(gate, f"{{{{args.{name}}}}} has no value at {gate.moment}")
            elif name not in declared:
                yield at(gate, f"{{{{args.{name}}}}} is not among the template's args")


@rule.over(metrics, "interval-without-count", needs=Strategy.BLUE_GREEN)
def _interval_without_count(asked: Asked) -> Iterator[str]:
    moment, interval_s = asked.gate.moment, asked.metric.interval_s
    if not moment.background and interval_s is not None and not asked.metric.count:
        yield f"interval {interval_s:g}s and no count at {moment}"


@rule.over(metrics, "count-in-background")
def _count_in_background(asked: Asked) -> Iterator[str]:
    count = asked.metric.count
    if asked.gate.moment.background and count:
        last = (count - 1) * (asked.metric.interval_s or 0.0)
        yield f"measures {count} time(s) and not after {last:g}s"


@rule("dry-run-too-wide")
def _dry_run_too_wide(context: Context) -> Iterator[Hit]:
    rollout = context.release.rollout
    for analysis in context.release.analyses:
        where, names = analysis.moment.path, [gate.name for gate in analysis.gates]
        for pattern in analysis.dry_run:
            try:
                hit = [name for name in names if re.search(pattern, name)]
            except re.error as wrong:
                yield rollout, where, f"{pattern!r} is not a regular expression: {wrong}"
                continue
            if any(name != pattern.strip("^$") for name in hit):
                yield rollout, where, f"{pattern!r} takes the verdict from {', '.join(hit)}"


@rule("other-provider")
def _other_provider(context: Context) -> Iterator[Hit]:
    for gate in context.release.gates:
        if gate.metric is None:
            yield at(gate, f"provider {gate.provider or 'none'!r} is skipped")
