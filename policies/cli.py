"""`policies`: check rendered manifests before a cluster does."""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from canary.runtime import program
from policies import objects, rules, schema

# A generated ConfigMap's content is its name: what differs is shown where the content is.
_HASH = re.compile(r"\b((?:gridos-config|platform|gateway|prometheus)-)[a-z0-9]{10}\b")
EPILOG = """\
exit codes:
  0 nothing found   1 findings   2 the input cannot be used   4 Kustomize is not available
  130 interrupted

examples:
  policies deploy/overlays/production
  policies --list-rules                       what is checked, and where it comes from
  policies --baseline deploy/base deploy/overlays/production    and how it differs, object by object
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks each path; every failure is one line on standard error."""
    return program.run("policies", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    parser = program.parser("policies", description=__doc__, epilog=EPILOG)
    parser.add_argument("path", nargs="*", type=Path, help="kustomizations, folders or files")
    parser.add_argument("--list-rules", action="store_true", help="list the rules")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="BASE",
        help="show how each path's objects differ from these",
    )
    parser.add_argument(
        "--kubernetes", choices=schema.VERSIONS, default="1.35", help="whose schemas (1.35)"
    )
    chosen = parser.parse_args(arguments)
    if chosen.list_rules:
        _say(f"{rule.id:<30} {rule.control}" for rule in rules.RULES.values())
        return 0
    if not chosen.path:
        parser.error("name a kustomization, such as deploy/overlays/production")
    if chosen.baseline:
        for path in chosen.path:
            _say(_differences(objects.read(chosen.baseline), objects.read(path)))
    return 1 if sum(_check(path, chosen.kubernetes) for path in chosen.path) else 0


def _check(path: Path, version: str) -> int:
    found = objects.read(path)
    refused = {id(thing): said for thing in found if (said := schema.check([thing], version))}
    # A rule is asked of what a cluster would admit: of anything else there is no telling.
    admitted = [thing for thing in found if id(thing) not in refused]
    said = [f"{f.rule}: {f.object}: {f.text}" for f in rules.check(admitted)]
    said += [f"schema {version}: {text}" for texts in refused.values() for text in texts]
    _say([*said, f"{path}: {len(found)} objects, {len(said)} findings"])
    return len(said)


def _differences(
    before: Sequence[objects.Object], after: Sequence[objects.Object]
) -> Iterator[str]:
    """Unified differences, object by object; a new or missing object is shown whole."""
    old, new = _by_name(before), _by_name(after)
    for name in sorted(old.keys() | new.keys()):
        a, b = (side.get(name, "").splitlines() for side in (old, new))
        yield from difflib.unified_diff(a, b, f"base/{name}", f"overlay/{name}", lineterm="", n=1)


def _by_name(things: Sequence[objects.Object]) -> Mapping[str, str]:
    return {
        _HASH.sub(r"\1HASH", objects.called(body)): _HASH.sub(r"\1HASH", yaml.safe_dump(dict(body)))
        for body in things
    }


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
