"""GitHub's semantics where act, actionlint and zizmor do not show them, as small models.

Which secrets a job sees, what its token may ask, who may push where, and what becomes of runs that
wait for one another. docs/pipeline.md, "What GitHub and Argo CD do", has the source of each.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECRET = re.compile(r"secrets\.(\w+)")
# An input, with what takes its place where another event than a dispatch starts the run.
EXPRESSION = re.compile(r"\$\{\{ *inputs\.(\w+)(?: \|\| '(\w+)')? *\}\}")
# What of a repository's settings the models need: .github/environments.json.
Settings = Mapping[str, Any]


# ------------------------------------------------------------------------------------------ secrets


@dataclass(frozen=True)
class Placed:
    """A job as GitHub runs it: where it stands, its environment, and the secrets that it sees."""

    where: str
    raw: Mapping[str, Any]
    environment: str
    visible: frozenset[str]

    @property
    def empty(self) -> set[str]:
        """The secrets that it reads and that are empty there."""
        return set(SECRET.findall(str(self.raw))) - self.visible - {"GITHUB_TOKEN"}


def place(workflows: Mapping[str, Mapping[str, Any]], settings: Settings) -> list[Placed]:
    """Every job of every workflow that an event starts, called ones among them."""

    def jobs(
        file: str, given: Mapping[str, str], passed: frozenset[str], *, inherit: bool
    ) -> Iterator[Placed]:
        """Those of one workflow, by its inputs and the secrets that it was given.

        It sees an environment's too if it was called with `secrets: inherit`, or if an event started
        it. The key `environment` of a called job alone does not do it.
        """
        for name, raw in workflows[file]["jobs"].items():
            environment = _filled(str(raw.get("environment", "")), given)
            own = settings["environments"].get(environment, {}).get("secrets", [])
            visible = passed | (frozenset(own) if inherit else frozenset())
            yield Placed(f"{file}, job {name}", raw, environment, visible)
            if "uses" in raw:
                called = raw["uses"].rpartition("/")[2]
                inputs = {k: _filled(str(v), given) for k, v in (raw.get("with") or {}).items()}
                handed = raw.get("secrets") or {}
                if handed == "inherit":
                    yield from jobs(called, inputs, visible, inherit=True)
                    continue
                # A job that calls has no environment, so an environment's secret is empty here too.
                seen = (k for k, v in handed.items() if set(SECRET.findall(str(v))) <= visible)
                yield from jobs(called, inputs, frozenset(seen), inherit=False)

    repository = frozenset(settings["repository"]["secrets"])
    return [
        placed
        for file, workflow in workflows.items()
        if set(workflow["on"]) != {"workflow_call"}
        for given in _choices(workflow)
        for placed in jobs(file, given, repository, inherit=True)
    ]


def _choices(workflow: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every way in which somebody may dispatch it, and one, without inputs, for other events."""
    started = workflow["on"]
    dispatch = started.get("workflow_dispatch") if isinstance(started, dict) else None
    inputs = (dispatch or {}).get("inputs", {})
    ways: list[dict[str, str]] = [{}]
    for name, about in inputs.items():
        ways = [{**way, name: option} for way in ways for option in about.get("options", [""])]
    return [*ways, {}] if inputs and len(started) > 1 else ways


def _filled(text: str, given: Mapping[str, str]) -> str:
    return EXPRESSION.sub(lambda found: given.get(found[1], found[2] or ""), text)


# ------------------------------------------------------------------------------------------- pushes


def may_push(rulesets: Sequence[Mapping[str, Any]], branch: str, app: bool) -> bool:
    """Whether a push that is no merge of a pull request is taken: from an App, or from anybody."""
    ref = f"refs/heads/{branch}"
    for ruleset in rulesets:
        include = ruleset["conditions"]["ref_name"]["include"]
        about = any(
            fnmatch.fnmatchcase(ref, pattern) or (pattern == "~DEFAULT_BRANCH" and branch == "main")
            for pattern in include
        )
        refuses = {"pull_request", "update"} & {rule["type"] for rule in ruleset["rules"]}
        if about and refuses and not (app and ruleset["bypass_actors"]):
            return False
    return True


# -------------------------------------------------------------------------------------- concurrency


class Queue:
    """One concurrency group: one that goes, and those that wait."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Takes the workflow's or job's `concurrency`."""
        self._keeps_all = settings.get("queue") == "max"
        self.going: object = None
        self.waiting: list[object] = []

    def enter(self, who: object) -> list[object]:
        """Lets somebody in, or wait; returns whoever is cancelled for it."""
        if self.going is None:
            self.going = who
            return []
        cancelled = [] if self._keeps_all else self.waiting
        self.waiting = [*(self.waiting if self._keeps_all else []), who]
        return cancelled

    def leave(self) -> None:
        """Lets the next in."""
        self.going = self.waiting.pop(0) if self.waiting else None


def play(
    workflow: Mapping[str, Any], job: str, runs: int, asks: frozenset[str]
) -> dict[tuple[int, str], str]:
    """What becomes of a job of each environment while nobody approves anything.

    Args:
        workflow: It, whose `job` has a matrix of environments, or names one.
        job: The job's name.
        runs: So many are started, one after another, on one branch.
        asks: The environments that ask a person.

    Returns:
        By run and environment: done, waiting (for a person), pending or cancelled.
    """
    raw = workflow["jobs"][job]
    environments = [e["environment"] for e in raw["strategy"]["matrix"]["include"]]
    whole, each = workflow.get("concurrency"), raw.get("concurrency")
    own = isinstance(each, dict) and "matrix.environment" in str(each["group"])
    queues = {e: Queue(each or {}) for e in environments}
    above = Queue(whole or {})
    state = {(run, e): "pending" for run in range(runs) for e in environments}
    for run in range(runs):
        for dropped in above.enter(run) if whole else []:
            state |= {(run, e): "cancelled" for run, e in state if run == dropped}
        if whole and above.going != run:
            continue
        for environment in environments:  # max-parallel: 1
            queue = queues[environment] if own else None
            for lost in queue.enter(run) if queue else []:
                state[lost, environment] = "cancelled"
            if queue and queue.going != run:
                break
            if environment in asks:
                state[run, environment] = "waiting"
                break
            state[run, environment] = "done"
            if queue:
                queue.leave()
        else:
            if whole:
                above.leave()
    return state
