"""The words by which a healthy release is made a faulty one, to try a gate on.

    WORDS  = FAULT *("," FAULT)
    FAULT  = NAME "=" VALUE *("@" QUALIFIER)

A qualifier is known by its form: `10%` is a share of requests, `/v1/orders/<order_id>` a route,
`40s` a time. A service is told the words at its start: whoever can set a pod's environment may
break it, and nobody else. `database-down` is of the world around the pods, so a rehearsal makes it.

The service and its rehearsal share this file: `canary/faults.py` is a link to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS = {"%": 0.01, **_TIMES, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}


@dataclass(frozen=True)
class _Kind:
    """A kind of value: its form, how a message describes it, and its field as a qualifier."""

    form: re.Pattern[str]
    described: str
    field: str = ""

    def read(self, text: str) -> float | str:
        """The text itself if it is a route, and a number otherwise."""
        if self.field == "route":
            return text
        number = re.match(r"[\d.]+", text)[0]  # type: ignore[index]
        return float(number) * _UNITS.get(text.removeprefix(number), 1.0)


_NUMBER = r"\d+(?:\.\d+)?"
_SHARE = _Kind(re.compile(f"{_NUMBER}%"), "a share such as 3%", "share")
_DURATION = _Kind(re.compile(f"{_NUMBER}(ms|s|m|h)"), "a duration such as 400ms", "at_s")
_SIZE = _Kind(re.compile(r"\d+(KiB|MiB|GiB)"), "a size such as 1MiB")
_COUNT = _Kind(re.compile(r"[1-9]\d*"), "a whole number such as 500")
_STATUS = _Kind(re.compile(r"[45]\d\d"), "a status from 400 to 599")
_ROUTE = _Kind(re.compile(r"/\S*"), "a route such as /v1/orders", "route")

# By name: the value, and the qualifiers it may have.
_FORMS = {
    "errors": (_SHARE, (_ROUTE,)),
    "status": (_STATUS, (_SHARE, _ROUTE)),
    "latency": (_DURATION, (_SHARE, _ROUTE)),
    "hang": (_SHARE, (_ROUTE,)),
    "reset": (_SHARE, (_ROUTE,)),
    "cut": (_SHARE, (_ROUTE,)),
    "leak": (_SIZE, (_ROUTE,)),
    "crash": (_COUNT, ()),
    "cpu": (_SHARE, ()),
    "warmup": (_DURATION, ()),
    "slow-start": (_DURATION, ()),
    "after": (_DURATION, ()),
    "database-down": (_DURATION, (_DURATION,)),
}
WORLD = ("database-down",)
# These are about a pod's start, so no onset can put them off.
_AT_START = ("warmup", "slow-start")
WORDS = (
    "errors=3%, status=404@10%, latency=400ms@10%, hang=1%, reset=1%, cut=1%, leak=1MiB,"
    " crash=500, cpu=90%, warmup=3s, slow-start=20s; @/v1/orders for one route, after=90s for a"
    " later onset, database-down=2s@40s for both releases"
)


class FaultError(ValueError):
    """A fault that is not understood; the message says where."""


@dataclass(frozen=True)
class Fault:
    """One fault; `value` is seconds, bytes, requests or a status, by its name.

    `share` is of one: of the requests, or of the CPU limit. `route` is a template, or nothing for
    all routes; `at_s` is when it happens, in seconds of the release.
    """

    name: str
    value: float = 0.0
    share: float = 1.0
    route: str = ""
    at_s: float = 0.0


@dataclass(frozen=True)
class Faults:
    """The faults of one text."""

    found: tuple[Fault, ...] = ()

    def named(self, *names: str) -> tuple[Fault, ...]:
        """Those of these names, in their order."""
        return tuple(fault for fault in self.found if fault.name in names)

    def value(self, name: str) -> float:
        """The value of the fault of a name; 0 if there is none."""
        return next((fault.value for fault in self.named(name)), 0.0)

    def share(self, name: str) -> float:
        """The share of the fault of a name that is for all routes; 0 if there is none."""
        return next((fault.share for fault in self.named(name) if not fault.route), 0.0)


def parse(text: str) -> Faults:
    """Reads comma-joined faults, such as "errors=3%,latency=400ms@10%".

    Raises:
        FaultError: if one is unknown, badly formed, out of range, given twice or without effect.
    """
    found: list[Fault] = []
    for at, word in _words(text):
        try:
            fault = _fault(word)
        except FaultError as wrong:
            raise FaultError(f"character {at}: {wrong}") from None
        if any((fault.name, fault.route) == (other.name, other.route) for other in found):
            raise FaultError(f"character {at}: {word!r} is a fault given twice: give each once")
        found.append(fault)
    names = {fault.name for fault in found} - {*_AT_START, *WORLD}
    if names == {"after"}:
        raise FaultError("'after' says when other faults begin: give one, such as errors=3%")
    return Faults(tuple(found))


def is_world(word: str) -> bool:
    """Whether a word is of a fault that no pod can make."""
    return word.strip().partition("=")[0] in WORLD


def matcher(route: str) -> re.Pattern[str]:
    """What paths of a route look like: `<…>` stands for one part."""
    return re.compile("[^/]+".join(map(re.escape, re.split("<[^>/]+>", route))))


def _words(text: str) -> Iterator[tuple[int, str]]:
    """Each word that is not blank, with the place of its first character, from 1."""
    at = 1
    for part in text.split(","):
        if word := part.strip():
            yield at + part.index(word), word
        at += len(part) + 1


def _fault(word: str) -> Fault:
    name, _, rest = word.partition("=")
    if name not in _FORMS:
        raise FaultError(f"{word!r} is not a fault: known are {WORDS}")
    wanted, known = _FORMS[name]
    value, *qualifiers = rest.split("@")
    if not wanted.form.fullmatch(value):
        raise FaultError(f"{word!r}: expected {wanted.described} after {name}=")
    fields = {"share" if wanted is _SHARE else "value": wanted.read(value)}
    for text in qualifiers:
        kind = next((each for each in known if each.form.fullmatch(text)), None)
        if kind is None or kind.field in fields:
            expected = [each.described for each in known if each.field not in fields]
            raise FaultError(f"{word!r}: expected {' or '.join(expected) or 'nothing'} after @")
        fields[kind.field] = kind.read(text)
    if float(fields.get("share", 0.0)) > 1.0:
        raise FaultError(f"{word!r} is more than all: give at most 100%")
    return Fault(name, **fields)  # type: ignore[arg-type]
