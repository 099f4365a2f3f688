"""The requests for a drafted locustfile: those of an OpenAPI document, or routes in the sources."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary import yamls
from canary.errors import UsageError
from canary.yamls import listed, mapping, scalar

MAX_ROUTES = 20
MAX_FILES = 2000
MAX_TEXT = 200_000
_OPENAPI = re.compile(r"^(openapi|swagger)[\w.-]*\.(ya?ml|json)$")
_SOURCES = {".cs", ".go", ".java", ".js", ".kt", ".mjs", ".py", ".rs", ".ts"}
_OTHERS = {"node_modules", "vendor", "venv", "out", "target", "dist"}
_TESTS = re.compile(r"(^|[._-])(tests?|specs?|mocks?)([._-]|$)|__tests__", re.IGNORECASE)
# As routers of these languages have it: `app.get("/x"`, `@GetMapping("/x"`, `HandleFunc("GET /x"`,
# `MapGet("/x"`; and Django's `path("x/"`, which says no method.
_ROUTE = re.compile(
    r"""\b(?:get|Get|GET|GetMapping|Handle|HandleFunc|MapGet|route)\(\s*"""
    r"""["'](?:GET )?(/[\w/{}:<>.-]*)["']"""
    r"""|^\s*path\(\s*["']([\w/<>:.-]*)["']\s*,(?!\s*(?:include\(|admin\.))""",
    re.MULTILINE,
)
# What stands before each of a file: a Spring class's own mapping, a router of FastAPI or Flask.
_PREFIX = re.compile(
    r"""@RequestMapping\(\s*(?:(?:path|value)\s*=\s*)?"(/[^"]*)"[^)]*\)(?=[^;{]*\bclass\b)"""
    r"""|\b(?:APIRouter|Blueprint)\([^)]*\b(?:url_)?prefix\s*=\s*["'](/[^"']*)["']"""
)
# The prefix of a router that lies in another file: Express, Django, FastAPI and Flask.
_MOUNTS = [
    re.compile(text)
    for text in (
        r"""\.use\(\s*["'](?P<prefix>/[^"']*)["']\s*,\s*"""
        r"""(?:require\(\s*["'](?P<module>[^"']+)["']|(?P<name>\w+))""",
        r"""\bpath\(\s*["'](?P<prefix>[^"']+)["']\s*,\s*include\(\s*["'](?P<module>[\w.]+)["']""",
        r"""\b(?:include_router|register_blueprint)\(\s*(?P<name>\w+)[^)]*"""
        r"""\b(?:url_)?prefix\s*=\s*["'](?P<prefix>/[^"']*)["']""",
    )
]
_PARAMETER = re.compile(r"\{[^}]*\}|<[^>]*>|:\w+")
_OPERATIONAL = re.compile(r"/-?/?(metrics|health|healthz|live|livez|ready|readyz|ping)\b")


@dataclass(frozen=True)
class Task:
    """One kind of request of the locustfile; paths are Python literals."""

    function: str
    path: str
    name: str
    weight: int = 1


def tasks(root: Path, sources: Path, probe: str) -> tuple[str, list[Task]]:
    """Where in a repository requests were found, and which; else the probe, from nowhere."""
    found = list(files(sources))
    for file in found:
        if _OPENAPI.match(file.name) and (known := list(_operations(file))[:MAX_ROUTES]):
            return file.relative_to(root).as_posix(), known
    texts = {
        file: file.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT]
        for file in found
        if file.suffix in _SOURCES
        and not any(map(_TESTS.search, file.relative_to(sources).with_suffix("").parts))
    }
    mounted = [mount for text in texts.values() for mount in _mounts(text)]
    by_file = {file: _routes(file, text, mounted) for file, text in texts.items()}
    routes = dict.fromkeys(route for found in by_file.values() for route in found)
    if len(routes) > 1:
        routes.pop("/", None)
    first, *others = [
        file.relative_to(root).as_posix() for file, found in by_file.items() if found
    ] or [""]
    more = f" and {len(others)} more file{'s' * (len(others) > 1)}" if others else ""
    known = [_task(route, _PARAMETER.sub("1", route)) for route in list(routes)[:MAX_ROUTES]]
    return (f"the routes in {first}{more}", known) if known else ("", [_task(probe, probe)])


def files(root: Path) -> Iterator[Path]:
    """The files of a repository, those near its top first; no more than so many."""
    folders, seen = [root], 0
    while folders and seen < MAX_FILES:
        for path in sorted(folders.pop(0).iterdir()):
            seen += 1
            if path.is_dir() and not path.name.startswith(".") and path.name not in _OTHERS:
                folders.append(path)
            elif path.is_file():
                yield path


def _routes(file: Path, text: str, mounted: Iterable[tuple[str, str]]) -> list[str]:
    """The routes of a file below the prefix of its router; none of operations."""
    module = file.with_suffix("").as_posix()
    module = re.sub(r"/(index|__init__)$", "", module)
    above = next((p for p, name in mounted if f"/{module}".endswith(f"/{name}")), "")
    own = next((found[1] or found[2] for found in _PREFIX.finditer(text)), "")
    prefix = f"/{above.strip('/')}/{own.strip('/')}".rstrip("/").replace("//", "/")
    routes = (f"{prefix}/{(found[1] or found[2]).lstrip('/')}" for found in _ROUTE.finditer(text))
    return [route for route in routes if not _OPERATIONAL.search(route)]


def _mounts(text: str) -> Iterator[tuple[str, str]]:
    """Prefix and module, as the end of a path, of the routers of other files."""
    for found in (found for pattern in _MOUNTS for found in pattern.finditer(text)):
        given = found.groupdict()
        name, module = given.get("name") or "", given.get("module") or ""
        if name:
            imported = re.search(
                rf"""\b{name}\b[^;\n]*(?:require\(|from)\s*["']([^"']+)["']"""
                rf"""|from\s+([\w.]+)\s+import[^\n]*\b{name}\b""",
                text,
            )
            module = (imported[1] or imported[2]) if imported else name
        module = re.sub(r"^[./]+|\.[mc]?[jt]s$", "", module).replace(".", "/")
        yield from ((given["prefix"], end) for end in (module, f"{module}/{name}"))


def _task(route: str, filled: str) -> Task:
    function = re.sub(r"\W+", "_", f"get{route}".lower()).strip("_")
    return Task(function, repr(filled), repr(route) if filled != route else "")


def _operations(file: Path) -> Iterator[Task]:
    """What can be asked with GET and parameters whose values are known or can be made up."""
    try:
        (document,) = yamls.read(file)
    except (UsageError, ValueError):
        return
    body = mapping(document.body)
    for path, item in mapping(body.get("paths")).items():
        operation = mapping(mapping(item).get("get"))
        if not operation or operation.get("deprecated"):
            continue
        given = [*listed(mapping(item).get("parameters")), *listed(operation.get("parameters"))]
        parameters = [_resolved(body, mapping(parameter)) for parameter in given]
        filled = _filled(path, parameters, body)
        if filled is not None:
            yield _task(path, filled)


def _filled(
    path: str, parameters: Iterable[Mapping[str, Any]], body: Mapping[str, Any]
) -> str | None:
    """A path with values for what it needs, or nothing where one cannot be known."""
    queries = []
    for parameter in parameters:
        where, name = parameter.get("in"), scalar(parameter.get("name"))
        if where != "path" and not parameter.get("required"):
            continue
        value = _value(parameter, _resolved(body, mapping(parameter.get("schema"))))
        if value is None or where not in {"path", "query"}:
            return None
        if where == "query":
            queries.append(f"{name}={value}")
        path = path.replace(f"{{{name}}}", value)
    if "{" in path:
        return None
    return path + ("?" + "&".join(queries) if queries else "")


def _value(parameter: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    examples = [
        mapping(found).get("value") for found in mapping(parameter.get("examples")).values()
    ]
    known = [
        parameter.get("example"), *examples, schema.get("example"), *listed(schema.get("examples")),
        schema.get("default"), *listed(schema.get("enum")),
    ]  # fmt: skip
    for value in known:
        if scalar(value):
            return scalar(value)
    return str(schema.get("minimum", 1)) if schema.get("type") == "integer" else None


def _resolved(body: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` into the same document stands for."""
    reference = scalar(found.get("$ref"))
    if not reference.startswith("#/"):
        return found
    place: Any = body
    for part in reference[2:].split("/"):
        place = mapping(place).get(part)
    return mapping(place)
