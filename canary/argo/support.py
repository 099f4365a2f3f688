"""What a rehearsal makes of each field of some manifests, in one of three words.

One pass over all of them: whoever wants to rehearse a release learns everything that stands in the
way at once, and what is only read, before anything is started.
"""

import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from canary.argo import scalers, validation
from canary.argo.objects import KINDS, Manifest, Object, names
from canary.yamls import Document, mapping, path_of, scalar, without_null

# The kinds of the API group that has no name are known, so one that is not among them is a slip.
_CORE_KINDS = names(
    "ConfigMap Endpoints Event LimitRange Namespace PersistentVolume PersistentVolumeClaim Pod"
    " PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount"
)
_GROUPS = {
    **dict.fromkeys(("Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate"), ("argoproj.io/",)),
    # Azure's managed Prometheus has the operator's kinds in a group of its own.
    **dict.fromkeys(("PodMonitor", "ServiceMonitor"), ("monitoring.", "azmonitoring.")),
    **dict.fromkeys(("PodMonitoring", "ClusterPodMonitoring"), ("monitoring.googleapis.com/",)),
    **dict.fromkeys(("VMPodScrape", "VMServiceScrape"), ("operator.victoriametrics.com/",)),
}
# What the controller's schema has and a rehearsal does not, beside the providers.
UNSUPPORTED = names("experiment plugin fileKeyRef rangeQuery")
ELSEWHERE = "leave it out of what is rehearsed: it would not mean here what it means on a cluster"

NO_SUCH_FIELD = (
    "the controller has no such field, which an API server refuses or drops: take it out, or"
    " correct its name"
)
PROVIDERS = "nobody answers it here: leave its metric out with --without-metric NAME"
# How pydantic calls a field, or a value, that there is none of.
_UNKNOWN = ("extra_forbidden", "literal_error")
ASKED_OTHERWISE = (
    "a rehearsal cannot ask it this way: leave its metric out with --without-metric NAME"
)


class Support(StrEnum):
    """What becomes of a field; only the last refuses."""

    ENFORCED = "enforced"
    NOT_ENFORCED = "read and not enforced"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True)
class Row:
    """One field; `note` says what happens instead, or what would have to change.

    `missing`: the object needs the field, and does not have it.
    """

    document: Document
    path: str
    support: Support
    note: str = ""
    missing: bool = False

    @property
    def place(self) -> str:
        """Where it is, as messages say it."""
        line = self.document.position(self.path)[0]
        field = f" field {self.path}" if self.path else ""
        return f"{self.document.file} line {line}: {self.document.kind}{field}"

    def __str__(self) -> str:
        if self.support is Support.NOT_SUPPORTED:
            said = "is missing" if self.missing else "is not supported"
            return f"{self.place} {said} — {self.note}"
        named = f"{self.document} {self.path}".strip()
        return f"{named}: {self.note}" if self.note else named


def understand(document: Document) -> tuple[Object | None, tuple[Row, ...]]:
    """An object as its type, if a rehearsal acts on its kind, and what becomes of its fields.

    What is not supported has been taken out of it; it is None where too little is left.
    """
    kind = document.kind
    if kind not in KINDS or not _is_of_its_group(document):
        if document.body.get("apiVersion") == "v1" and kind not in _CORE_KINDS:
            slip = f"apiVersion v1 has no kind {kind!r}"
            return None, (Row(document, "kind", Support.NOT_SUPPORTED, slip),)
        bounds = "replicas are within its bounds; it changes none during a release"
        note = bounds if kind in scalers.KINDS else ""
        return None, (Row(document, "", Support.NOT_ENFORCED, note),)
    refused: dict[str, Row] = {}
    gone: set[str] = set()
    body = without_null(document.body)
    # What is wrong is taken out, so that the rest can be read; a few rounds do for any object.
    for _ in range(8):
        try:
            thing = KINDS[kind].model_validate(body)
        except ValidationError as invalid:
            refused |= _refused(document, invalid, refused, gone)
            body = _without(body, invalid, gone)
        else:
            rows = list(_rows(document, body, thing, ""))
            told = {row.path for row in rows if row.support is Support.NOT_SUPPORTED}
            if kind == "Rollout":
                rows += _by_the_controller(document, told | refused.keys())
            return thing, (*refused.values(), *rows)
    return None, tuple(refused.values())


def _by_the_controller(document: Document, told: Collection[str]) -> Iterator[Row]:
    """What makes a Rollout invalid, at the paths that have no message yet (`told`)."""
    for path, message in validation.refusals(document.spec):
        if path not in told:
            note = f"the controller refuses it: {message}"
            yield Row(document, path, Support.NOT_SUPPORTED, note)


def _is_of_its_group(document: Document) -> bool:
    version = scalar(document.body.get("apiVersion"))
    return not version or version.startswith(_GROUPS.get(document.kind, ("v1",)))


def _refused(
    document: Document, invalid: ValidationError, before: Mapping[str, Row], gone: set[str]
) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for error in sorted(invalid.errors(), key=lambda e: e["type"] != "extra_forbidden"):
        path = path_of(error["loc"])
        # A part that was taken out has its own message, and so has the whole that lacks it now.
        told = path in gone or any(_PART.sub("", place) == path for place in gone)
        if path not in before and not told:
            missing = error["type"] == "missing"
            note = _note(document, path, error)
            found[path] = Row(document, path, Support.NOT_SUPPORTED, note, missing)
    return found


def _note(document: Document, path: str, error: ErrorDetails) -> str:
    """What would have to change."""
    if re.search(r"\.provider\.\w+\.", path) and error["type"] in _UNKNOWN:
        return ASKED_OTHERWISE
    if error["type"] == "missing":
        workload = mapping(document.spec.get("workloadRef"))
        if document.kind == "Rollout" and path == "spec.template" and workload:
            named = f"{scalar(workload.get('kind'))}/{scalar(workload.get('name'))}"
            return f"workloadRef takes it from {named}: add that to the manifests"
        return f"{document.kind} objects need it: add it"
    if error["type"] != "extra_forbidden":
        return error["msg"].removeprefix("Value error, ")
    if re.search(r"\.provider\.\w+$", path):
        return PROVIDERS
    ours = "argoproj.io/" in _GROUPS.get(document.kind, ())
    return NO_SUCH_FIELD if ours and error["loc"][-1] not in UNSUPPORTED else ELSEWHERE


_PART = re.compile(r"\.?[^.\[\]]+$|\[\d+\]$")


def _without(body: Mapping[str, Any], invalid: ValidationError, gone: set[str]) -> dict[str, Any]:
    """The object without what is wrong with it, so that the rest can be read."""
    kept: dict[str, Any] = copy.deepcopy(dict(body))
    for error in sorted(invalid.errors(), key=lambda e: str(e["loc"]), reverse=True):
        where = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
        *above, last = where or ("",)
        holder: Any = kept
        for part in above:
            holder = holder[part] if _has(holder, part) else None
        if _has(holder, last):
            del holder[last]
            gone.add(path_of(where))
    return kept


def _has(holder: object, part: int | str) -> bool:
    if isinstance(holder, list):
        return isinstance(part, int) and part < len(holder)
    return isinstance(holder, dict) and part in holder


def _rows(document: Document, body: object, thing: Manifest, path: str) -> Iterator[Row]:
    """What becomes of each field that is given."""
    aliases = {field.alias or name: name for name, field in type(thing).model_fields.items()}
    said = (
        (Support.NOT_ENFORCED, thing.not_enforced()),
        (Support.NOT_SUPPORTED, thing.refused()),
    )
    told = {
        at: Row(document, at, word, note)
        for word, notes in said
        for sub, note in notes.items()
        if (at := f"{path}.{sub}".lstrip("."))
    }
    yield from told.values()
    for key, given in body.items() if isinstance(body, dict) else ():
        at = f"{path}.{key}".lstrip(".")
        if key in thing.set_aside:
            yield Row(document, at, Support.NOT_ENFORCED)
        elif at not in told:
            held = getattr(thing, aliases[key]) if key in aliases else None
            yield from _held(document, given, held, at)


def _held(document: Document, given: object, held: object, path: str) -> Iterator[Row]:
    if isinstance(held, Manifest):
        yield from _rows(document, given, held, path)
    elif isinstance(held, list) and held and isinstance(held[0], Manifest):
        for index, (raw, each) in enumerate(zip(given, held, strict=False)):  # type: ignore[call-overload]
            yield from _rows(document, raw, each, f"{path}[{index}]")
    elif path not in ("apiVersion", "kind", "metadata.name"):
        yield Row(document, path, Support.ENFORCED)
