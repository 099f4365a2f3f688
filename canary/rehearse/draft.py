"""A rehearsal.yaml and a locustfile for a repository that has none, from what lies in it.

What is found is written down; what is guessed says so; what cannot be known is left to the check
of the finished file, which asks for it by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from canary import yamls
from canary.errors import UsageError
from canary.lint import repository
from canary.rehearse.gaps import image_name
from canary.runtime import documents, helm
from canary.yamls import Document, listed, mapping, scalar

LOCUSTFILE = "locustfile.py"
MAX_ROUTES = 20
MAX_FILES = 2000
MAX_TEXT = 200_000
_OPENAPI = re.compile(r"^(openapi|swagger)[\w.-]*\.(ya?ml|json)$")
_ALL_ADDRESSES = ("0.0.0.0", "::", "[::]")  # noqa: S104 — what is looked for, not listened on
_DATABASE = re.compile(r"database|postgres|\bpg|dsn", re.IGNORECASE)
_REDIS = re.compile(r"redis", re.IGNORECASE)
_PYTHON = ["uv", "venv", "--quiet", "--no-project", "{out}"]
_PIP = ["uv", "pip", "install", "--quiet", "--python", "{out}/bin/python", "--requirement"]


@dataclass(frozen=True)
class Task:
    """One kind of request of the locustfile; paths are Python literals."""

    function: str
    path: str
    name: str
    weight: int = 1


@dataclass
class Draft:
    """What the two files say; each value is YAML, with a remark where there is one."""

    name: str
    manifests: str
    chart: bool = False
    build: list[str] = field(default_factory=list)
    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    listen: str = ""
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    routes: str = ""
    tasks: list[Task] = field(default_factory=list)

    def rehearsal(self) -> str:
        """The text of the rehearsal.yaml."""
        return _render("rehearsal.yaml.j2", **vars(self), locustfile=LOCUSTFILE)

    def locustfile(self) -> str:
        """The text of the locustfile."""
        return _render(
            "locustfile.py.j2",
            name=self.name, source=self.routes, tasks=self.tasks, file=LOCUSTFILE,
        )  # fmt: skip


def draft(root: Path, given: Path | None) -> Draft:
    """What can be said of the Rollout of a repository.

    Args:
        root: The repository, which the two files will lie in.
        given: The manifests; None is those that are found in it.

    Raises:
        UsageError: if there is no Rollout, or more than one.
    """
    source = given or _manifests(root)
    found = tuple(documents.read(source))
    rollouts = [document for document in found if document.kind == "Rollout"]
    if len(rollouts) != 1:
        raise UsageError(f"{source} holds {len(rollouts)} Rollouts", "name manifests with one")
    made = Draft(rollouts[0].name, _relative(source, root), chart=helm.is_chart(source))
    spec = mapping(mapping(rollouts[0].spec.get("template")).get("spec"))
    containers = [mapping(container) for container in listed(spec.get("containers"))]
    if not containers:
        raise UsageError(f"{rollouts[0]} of {source} has no containers", "name another")
    main = _main(containers, found)
    build, command = _built(root, made.name)
    made.build = [_flow(words) for words in build]
    for container in containers:
        name = image_name(scalar(container.get("image")))
        if container is main:
            made.images[name] = _image(container, command, made.build)
            _variables(made, container)
        else:
            made.images[name] = ("[]", "a sidecar: not run here")
    told = [made.images[image_name(scalar(main.get("image")))], *made.variables.values()]
    if not any("{port" in text for text, _ in told):
        made.listen = "{host: HOST, port: PORT}"
    _secrets(made, spec, containers)
    made.routes, made.tasks = _tasks(root, main)
    return made


# ------------------------------------------------------------------------------------- manifests


def _manifests(root: Path) -> Path:
    """The folder or the file of the one Rollout below the root."""
    reading = repository.read([str(root)])
    places = set()
    for document in reading.documents:
        if document.kind == "Rollout":
            place = Path(document.file)
            folder = place if place.is_dir() else place.parent
            # In the root lie files that are no manifests.
            places.add(place if folder.resolve() == root.resolve() else folder)
    places |= set(_charts(root))
    if len(places) == 1:
        return places.pop()
    if places:
        listing = ", ".join(sorted(map(str, places)))
        raise UsageError(f"there are Rollouts in {listing}", "name one with --manifests")
    raise UsageError(f"{root} holds no Rollout", "name its manifests with --manifests")


def _charts(root: Path) -> Iterator[Path]:
    """The charts whose templates have a Rollout; one that another depends on is part of that."""
    for file in _files(root):
        if file.name == helm.CHART and file.parent.parent.name != "charts":
            templates = file.parent.glob("templates/**/*.yaml")
            if any(_ROLLOUT.search(t.read_text(errors="replace")) for t in templates):
                yield file.parent


_ROLLOUT = re.compile(r"^kind: *Rollout\b", re.MULTILINE)


def _relative(path: Path, root: Path) -> str:
    try:
        return str(path.resolve().relative_to(root.resolve()))
    except ValueError:
        return str(path.resolve())


def _main(containers: Sequence[Mapping[str, Any]], found: Iterable[Document]) -> Mapping[str, Any]:
    """The container that the Service sends requests to; else the first with a port."""
    targets = {
        str(mapping(port).get("targetPort", mapping(port).get("port")))
        for document in found
        if document.kind == "Service"
        for port in listed(document.spec.get("ports"))
    }
    served = [c for c in containers if targets & {word for pair in _ports(c) for word in pair}]
    return (served or [c for c in containers if _ports(c)] or containers)[0]


def _ports(container: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and number of each port; the number is the name of one that has none."""
    ports = [mapping(port) for port in listed(container.get("ports"))]
    numbers = [str(port.get("containerPort")) for port in ports]
    return [(scalar(p.get("name")) or number, number) for p, number in zip(ports, numbers)]  # noqa: B905 — one from the other


# -------------------------------------------------------------------------------------- programs


def _built(root: Path, name: str) -> tuple[list[list[str]], list[str]]:
    """The commands that build what lies here, and the command that runs it, or nothing."""

    def held(file: str) -> bool:
        return (root / file).is_file()

    if held("go.mod"):
        mains = sorted(path.parent.name for path in root.glob("cmd/*/main.go"))
        package = f"./cmd/{name if name in mains else mains[0]}" if mains else "."
        return [["go", "build", "-o", f"{{out}}/bin/{name}", package]], [name]
    if held("package.json"):
        return _node(root)
    if held("uv.lock"):
        return [["uv", "sync", "--frozen", "--no-dev"]], []
    if held("requirements.txt"):
        return [_PYTHON, [*_PIP, "requirements.txt"]], []
    if held("pom.xml"):
        maven = "./mvnw" if held("mvnw") else "mvn"
        jar = _jar((root / "pom.xml").read_text(encoding="utf-8", errors="replace"))
        return [[maven, "-q", "-DskipTests", "package"]], ["java", "-jar", jar]
    if held("Cargo.toml"):
        return [["cargo", "install", "--locked", "--path", ".", "--root", "{out}"]], [name]
    return [], []


def _node(root: Path) -> tuple[list[list[str]], list[str]]:
    try:
        package = mapping(json.loads((root / "package.json").read_text(encoding="utf-8")))
    except ValueError:
        package = {}
    scripts = mapping(package.get("scripts"))
    build = [["npm", "ci"], *([["npm", "run", "build"]] if "build" in scripts else [])]
    start = scalar(scripts.get("start"))
    if start.startswith("node ") and not re.search(r"[&|;$\"']", start):
        return build, start.split()
    return build, ["node", scalar(package.get("main")) or "server.js"]


def _jar(pom: str) -> str:
    """What Maven will call its archive, by the project's own coordinates, which come first."""
    own = re.sub(r"<parent>.*?</parent>", "", pom, flags=re.DOTALL)
    names = [re.search(rf"<{tag}>\s*([\w.-]+)", own) for tag in ("artifactId", "version")]
    return "target/" + "-".join(name[1] for name in names if name) + ".jar"


def _image(
    container: Mapping[str, Any], command: list[str], built: Sequence[str]
) -> tuple[str, str]:
    """The command in place of an image; the manifest's own, told its ports, where it has one."""
    own = [str(word) for word in listed(container.get("command"))]
    words = [*own, *(str(word) for word in listed(container.get("args")))]
    told = [_told(word, container) for word in words]
    if own:
        if command and own[0].startswith("/"):
            return _run([*command, *told[1:]]), f"instead of {own[0]}"
        return _run(told), ""
    if not command:
        what = "its program, as `build` makes it" if built else "its program"
        return _flow(["CHANGE-ME"]), f"{what}: it could not be guessed"
    if told != words:
        return _run([*command, *told]), "guessed"
    return _flow(command), "guessed"


def _run(words: list[str]) -> str:
    return f"{{run: {_flow(words)}}}"


def _told(text: str, container: Mapping[str, Any]) -> str:
    """A text with the container's ports, and the address of all interfaces, as placeholders."""
    for name, number in _ports(container):
        text = re.sub(rf"(?<![\w.]){number}(?![\w.])", f"{{port.{name}}}", text)
    if text.startswith(":{port"):
        return "{host}" + text
    for address in _ALL_ADDRESSES:
        if text == address or text.startswith(f"{address}:"):
            return "{host}" + text.removeprefix(address)
    return text


# ------------------------------------------------------------------------- variables and secrets


def _variables(made: Draft, container: Mapping[str, Any]) -> None:
    """The variables whose values mean something else here: ports, and addresses in the cluster."""
    for entry in map(mapping, listed(container.get("env"))):
        name, value = scalar(entry.get("name")), scalar(entry.get("value"))
        told = _told(value, container)
        if told != value:
            made.variables[name] = _flow(told), ""
        elif _REDIS.match(value):
            made.services["cache"] = "redis"
            made.variables[name] = _flow("{cache}"), f"instead of {value}"
        elif value.startswith("postgres"):
            made.services["database"] = "postgresql"
            made.variables[name] = _flow("{database}"), f"instead of {value}"
        elif ".svc" in value or re.match(r"https?://[\w-]+(:\d+)?(/|$)", value):
            made.variables[name] = _flow(value), "in the cluster: name a service of this machine"


def _secrets(made: Draft, spec: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> None:
    wanted: dict[str, dict[str, str]] = {}
    for name, key, hint in _references(spec, containers):
        keys = wanted.setdefault(name, {})
        if key:
            keys[key] = _secret(made, f"{name} {key} {hint}")
    open_ = "all of it is used: give the keys that it has"
    made.secrets = {n: (_flow(keys), "" if keys else open_) for n, keys in wanted.items()}


def _secret(made: Draft, hint: str) -> str:
    if _DATABASE.search(hint) and re.search(r"ur[il]|dsn", hint, re.IGNORECASE):
        made.services["database"] = "postgresql"
        return "{database}"
    if _REDIS.search(hint) and re.search(r"ur[il]|addr", hint, re.IGNORECASE):
        made.services["cache"] = "redis"
        return "{cache}"
    return "{secret}"


def _references(
    spec: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """Secret, key (or nothing for all of it), and the variable that gets it."""
    for container in containers:
        for entry in map(mapping, listed(container.get("env"))):
            reference = mapping(mapping(entry.get("valueFrom")).get("secretKeyRef"))
            if reference:
                yield scalar(reference["name"]), scalar(reference["key"]), str(entry.get("name"))
        for whole in map(mapping, listed(container.get("envFrom"))):
            if reference := mapping(whole.get("secretRef")):
                yield scalar(reference["name"]), "", ""
    for volume in map(mapping, listed(spec.get("volumes"))):
        secret = mapping(volume.get("secret"))
        if secret:
            yield scalar(secret.get("secretName")), "", ""
            for item in map(mapping, listed(secret.get("items"))):
                yield scalar(secret.get("secretName")), scalar(item.get("key")), ""
        attributes = mapping(mapping(volume.get("csi")).get("volumeAttributes"))
        if "secretProviderClass" in attributes:
            yield scalar(attributes["secretProviderClass"]), "", ""


# ---------------------------------------------------------------------------------------- routes


def _tasks(root: Path, container: Mapping[str, Any]) -> tuple[str, list[Task]]:
    """The requests of an OpenAPI document; else routes in sources; else a probe, to begin with."""
    files = list(_files(root))
    for file in files:
        if _OPENAPI.match(file.name):
            tasks = list(_operations(file))[:MAX_ROUTES]
            if tasks:
                return _relative(file, root), tasks
    for file in files:
        if file.suffix in _SOURCES:
            text = file.read_text(encoding="utf-8", errors="replace")[:MAX_TEXT]
            routes = dict.fromkeys(found[1] for found in _ROUTE.finditer(text))
            if wanted := [route for route in routes if not _OPERATIONAL.search(route)]:
                name = f"the routes in {_relative(file, root)}"
                return name, [_task(r, _PARAMETER.sub("1", r)) for r in wanted[:MAX_ROUTES]]
    asked = mapping(mapping(container.get("readinessProbe")).get("httpGet"))
    served = dict(_ports(container)).keys() & {str(asked.get("port"))}
    path = scalar(asked.get("path")) if served else "/"
    return "", [_task(path, path)]


_SOURCES = {".go", ".java", ".js", ".kt", ".mjs", ".py", ".rs", ".ts"}
# As routers of these languages have it: `app.get("/x"`, `@GetMapping("/x"`, `HandleFunc("GET /x"`.
_ROUTE = re.compile(
    r"""\b(?:get|Get|GET|GetMapping|Handle|HandleFunc|route)\(\s*"""
    r"""["'](?:GET )?(/[\w/{}:<>.-]*)["']"""
)
_PARAMETER = re.compile(r"\{[^}]*\}|<[^>]*>|:\w+")
_OPERATIONAL = re.compile(r"^/$|/-?/?(metrics|health|healthz|live|livez|ready|readyz|ping)\b")


def _task(route: str, filled: str) -> Task:
    function = re.sub(r"\W+", "_", f"get{route}".lower()).strip("_")
    return Task(function, repr(filled), repr(route) if filled != route else "")


def _files(root: Path) -> Iterator[Path]:
    """The files of a repository, those near its top first; no more than so many."""
    folders, seen = [root], 0
    while folders and seen < MAX_FILES:
        for path in sorted(folders.pop(0).iterdir()):
            seen += 1
            if path.is_dir() and not path.name.startswith(".") and path.name not in _OTHERS:
                folders.append(path)
            elif path.is_file():
                yield path


_OTHERS = {"node_modules", "vendor", "venv", "out", "target", "dist"}


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


# ------------------------------------------------------------------------------------------ text


def _flow(value: object) -> str:
    """A value as JSON, which YAML also is."""
    return json.dumps(value, ensure_ascii=False)


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("canary.rehearse"),
        autoescape=False,  # noqa: S701 — YAML and Python, whose values are quoted as such
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)
