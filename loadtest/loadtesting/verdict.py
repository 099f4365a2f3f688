"""Measurements and limits → a verdict. Pure.

FAIL is said when a limit is broken, PASS when none is and the run could have shown it; whatever
casts doubt on the run itself (too few requests, dropped work, a slow generator) turns a PASS into
INCONCLUSIVE, and a FAIL too if it is what may have caused it.
"""

from dataclasses import dataclass, replace

from canary.power import stats
from loadtesting import histograms, request_metrics
from loadtesting.model import Check, Limits, Outcome, Profile, Result, Verdict
from loadtesting.request_metrics import Group, RequestMetrics

# Dropped work beyond this makes the load another one than was asked for.
MAX_DROPPED = 0.001
# A generator that is itself this late at the 99th percentile, of the latency limit, says nothing.
MAX_LAG = 0.1
# This many lost in a row, over this long, and the target is gone.
GONE_REQUESTS, GONE_S, FEW_LOST = 20, 3.0, 5


@dataclass(frozen=True)
class Facts:
    """What is known of the run beside its tally.

    `planned` counts the schedule's arrivals; `extra` holds checks that were asked elsewhere.
    """

    planned: int
    complete: bool = True
    extra: tuple[Check, ...] = ()


def judge(measured: RequestMetrics, limits: Limits, profile: Profile, facts: Facts) -> Verdict:
    """The verdict of a run, whole or broken off."""
    rules = checks(measured.overall, limits, profile) + list(facts.extra)
    doubts = _validity_checks(measured, limits, profile, facts)
    gone = _gone(measured)
    if gone is not None:
        return Verdict(Result.FAIL, gone.message, (gone, *rules, *doubts))
    failed = [check for check in rules if check.result is Result.FAIL]
    unsure = [check for check in (*doubts, *rules) if check.result is Result.INCONCLUSIVE]
    everything = (*rules, *doubts)
    if failed and not _invalid_run(doubts):
        return Verdict(Result.FAIL, failed[0].message, everything)
    if unsure:
        return Verdict(Result.INCONCLUSIVE, unsure[0].message, everything)
    return Verdict(
        Result.PASS, _pass_summary(measured, limits), everything, _near_limit_notes(rules)
    )


def checks(group: Group, limits: Limits, profile: Profile) -> list[Check]:
    """The limits, one by one."""
    found = [
        error_ratio(group, limits),
        _share("lost-ratio", group.unseen, group, limits, "were lost before the service"),
        _share("refused-ratio", group.outcomes[Outcome.REFUSED], group, limits, "were refused"),
        latency(group, limits),
    ]
    if "objective" in profile.judges:
        found.append(objective(group, limits))
    return found


def error_ratio(group: Group, limits: Limits) -> Check:
    """Failures of the service, of what it answered: the gate's own question."""
    failed, of = group.outcomes[Outcome.FAILED], group.answered
    return _ratio("error-ratio", failed, of, limits.max_error_ratio, "failed in the service")


def objective(group: Group, limits: Limits) -> Check:
    """Everything that a user saw fail, against the SLO."""
    bad = group.outcomes[Outcome.FAILED] + group.unseen
    return _ratio("objective", bad, group.requests, round(1 - limits.objective, 10), "failed users")


def _share(name: str, count: int, group: Group, limits: Limits, words: str) -> Check:
    found = _ratio(name, count, group.requests, limits.max_error_ratio, words)
    if found.result is Result.FAIL:
        why = request_metrics.most_common(group.reasons)
        return replace(found, message=f"{found.message}: {why}")
    return found


def _ratio(name: str, count: int, of: int, limit: float, words: str) -> Check:
    if not of:
        return Check(name, Result.INCONCLUSIVE, f"{name}: nothing was answered", limit=limit)
    value = count / of
    low, high = stats.ratio(count, of)
    result = Result.FAIL if value >= limit else Result.PASS
    sign = "≥" if result is Result.FAIL else "<"
    text = f"{name}: {count:,} of {of:,} {words}, {value:.2%} {sign} {limit:.2%}"
    return Check(name, result, text, value, low, high, limit, "%")


def latency(group: Group, limits: Limits) -> Check:
    """The limited quantile, judged by the exact count of slow requests."""
    name = f"p{limits.quantile * 100:g}-latency"
    value = histograms.quantile_s(group.histogram, limits.quantile)
    if value is None:
        return Check(name, Result.INCONCLUSIVE, f"{name}: nothing was timed", unit="s")
    low_rank, high_rank = stats.ranks(limits.quantile, group.requests)
    low = histograms.at_rank_s(group.histogram, low_rank)
    high = histograms.at_rank_s(group.histogram, high_rank)
    slow = group.slow / group.requests
    result = Result.FAIL if slow >= limits.max_slow_ratio else Result.PASS
    sign = "≥" if result is Result.FAIL else "<"
    text = (
        f"{name}: {value * 1000:.4g} ms; {slow:.2%} took {limits.max_latency_s * 1000:g} ms or "
        f"more, {sign} {limits.max_slow_ratio:.2%}"
    )
    return Check(name, result, text, value, low, high, limits.max_latency_s, "s")


def failing_is_certain(measured: RequestMetrics, limits: Limits, planned: int) -> bool:
    """Whether the run would fail even if every request still to come were a good one."""
    group = measured.overall
    if _gone(measured) is not None:
        return True
    # A few lost in a row may be the beginning of the end; a moment later it is known.
    if measured.lost_in_a_row >= FEW_LOST:
        return False
    most = max(planned, group.requests)
    wrong = max(group.outcomes[Outcome.FAILED], group.unseen, group.outcomes[Outcome.REFUSED])
    is_broken = wrong >= limits.max_error_ratio * most or group.slow >= limits.max_slow_ratio * most
    return most > 0 and is_broken


def _gone(measured: RequestMetrics) -> Check | None:
    lost = measured.lost_in_a_row
    lasted_s = _ended_s(measured) - measured.first_lost_s
    if lost < GONE_REQUESTS or (lasted_s < GONE_S and measured.counts.open):
        return None
    why = request_metrics.most_common(measured.overall.reasons, 1)
    text = (
        f"target-gone: no response since second {measured.last_answer_s:.1f}, "
        f"{lost} requests in a row lost ({why})"
    )
    return Check("target-gone", Result.FAIL, text, float(lost))


def _ended_s(measured: RequestMetrics) -> float:
    return (max(measured.slices, default=0) + 1) * measured.slice_s


def _validity_checks(
    measured: RequestMetrics, limits: Limits, profile: Profile, facts: Facts
) -> list[Check]:
    # Work that a late generator dropped says nothing of the users: what came first is said first.
    return [
        _enough(measured, limits, profile, facts),
        _lag(measured, limits),
        _dropped(measured, facts),
        _unfinished(measured, facts),
    ]


def _enough(measured: RequestMetrics, limits: Limits, profile: Profile, facts: Facts) -> Check:
    needed = max(profile.needed, limits.min_requests)
    have = measured.overall.requests
    # Failing beyond doubt needs no more requests: what was still to come could not have saved it.
    if have >= needed or (not facts.complete and facts.planned >= needed):
        return Check("enough-requests", Result.PASS, f"{have:,} requests", have, limit=needed)
    text = f"enough-requests: {have:,} ended, and {needed:,} are needed to say anything"
    return Check("enough-requests", Result.INCONCLUSIVE, text, have, limit=needed)


def _dropped(measured: RequestMetrics, facts: Facts) -> Check:
    dropped, of = measured.counts.dropped, max(facts.planned, 1)
    value = dropped / of
    if value <= MAX_DROPPED:
        return Check("dropped", Result.PASS, f"{dropped:,} dropped", value, limit=MAX_DROPPED)
    text = (
        f"dropped: {dropped:,} of {of:,} arrivals found no free user in time; the load was not "
        "what was asked for — give more --users, or the target is too slow for this rate"
    )
    return Check("dropped", Result.INCONCLUSIVE, text, value, limit=MAX_DROPPED, unit="%")


def _lag(measured: RequestMetrics, limits: Limits) -> Check:
    value = histograms.quantile_s(measured.lag, 0.99) or 0.0
    most = limits.max_latency_s * MAX_LAG
    if value <= most:
        text = f"the generator was {value * 1000:.3g} ms late at p99"
        return Check("generator-lag", Result.PASS, text, value, limit=most, unit="s")
    text = (
        f"generator-lag: the generator itself was {value * 1000:.3g} ms late at p99 (at most "
        f"{most * 1000:g}): it is out of CPU, and latencies are its own — use --processes or "
        "another machine"
    )
    return Check("generator-lag", Result.INCONCLUSIVE, text, value, limit=most, unit="s")


def _unfinished(measured: RequestMetrics, facts: Facts) -> Check:
    missing = facts.planned - measured.counts.finished - measured.counts.dropped
    if not facts.complete:
        text = f"{max(missing, 0):,} arrivals were not waited for: the run was stopped"
        return Check("unfinished", Result.PASS, text, max(missing, 0))
    if missing <= MAX_DROPPED * facts.planned:
        text = "every arrival has an end" if missing <= 0 else f"{missing:,} arrivals have no end"
        return Check("unfinished", Result.PASS, text, max(missing, 0))
    text = f"unfinished: {missing:,} of {facts.planned:,} arrivals have no end — did a worker die?"
    return Check("unfinished", Result.INCONCLUSIVE, text, missing)


def _invalid_run(doubts: list[Check]) -> bool:
    """Whether the generator itself may have made the failures."""
    spoiling = ("generator-lag", "unfinished", "enough-requests")
    return any(d.name in spoiling and d.result is Result.INCONCLUSIVE for d in doubts)


def _pass_summary(measured: RequestMetrics, limits: Limits) -> str:
    group = measured.overall
    value = histograms.quantile_s(group.histogram, limits.quantile) or 0.0
    return (
        f"{group.requests:,} requests, {group.outcomes[Outcome.FAILED]} failed, {group.unseen} "
        f"lost, p{limits.quantile * 100:g} {value * 1000:.4g} ms"
    )


def _near_limit_notes(rules: list[Check]) -> tuple[str, ...]:
    """A pass whose interval reaches over its limit is said to be one by luck as well."""
    return tuple(
        f"{check.name} may in truth lie beyond its limit: its 95 % interval reaches "
        f"{_text(check.high, check.unit)}; more requests would tell"
        for check in rules
        if check.high is not None and check.limit is not None and check.high >= check.limit
    )


def _text(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "%" else f"{value * 1000:.4g} ms"
