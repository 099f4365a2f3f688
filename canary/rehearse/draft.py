"""A rehearsal.yaml and a locustfile for a repository that has none, from what lies in it.

What is found is written down; what is guessed says so; what cannot be known is left to the check
of the finished file, which asks for it by name.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from canary.argo import manifests
from canary.argo.templates import is_argo
from canary.errors import UsageError
from canary.lint import repository
from canary.rehearse import draft_routes
from canary.rehearse.draft_routes import Task
from canary.rehearse.gaps import UNKNOWN, image_name
from canary.runtime import documents, helm
from canary.yamls import Document, listed, mapping, scalar

LOCUSTFILE = "locustfile.py"
# All interfaces, alone or before a port: at the start, as an option's value, or in a URL.
_ALL_ADDRESSES = re.compile(
    r"(?:(?<=^)|(?<==)|(?<=://))(?:(?:0\.0\.0\.0|\[?::\]?)(?=:|$)|[+*]?(?=:\{port))"
)
_DATABASE = re.compile(r"database|postgres|\bpg|dsn", re.IGNORECASE)
_REDIS = re.compile(r"redis", re.IGNORECASE)
_PYTHON = ["uv", "venv", "--quiet", "--no-project", "{out}"]
_PIP = ["uv", "pip", "install", "--quiet", "--python", "{out}/bin/python"]

_ELSEWHERE = "in the cluster: name a service of this machine"

# Commands that build, and the one that runs what they make, as far as that is known.
Built = tuple[list[list[str]], list[str]]
NONE: Built = ([], [])


@dataclass
class Draft:
    """What the two files say; each value is YAML, with a remark where there is one."""

    name: str
    manifests: str
    source: Path
    chart: bool = False
    also: list[str] = field(default_factory=list)
    rollout: str = ""
    values: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    listen: str = ""
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    routes: str = ""
    tasks: list[Task] = field(default_factory=list)

    @property
    def open(self) -> Iterator[str]:
        """What a person must give, by its field."""
        for image, (command, _) in self.images.items():
            if UNKNOWN in command:
                what = f"images.{image}" if image else "images: the manifests give none, and"
                yield f"{what}: the command that runs the program"
        for variable, (_, remark) in self.variables.items():
            if remark == _ELSEWHERE:
                yield f"variables.{variable}: an address of this machine, or a name of `services`"
        for secret, (_, remark) in self.secrets.items():
            if remark:
                yield f"secrets.{secret}: its keys"

    def rehearsal(self) -> str:
        """The text of the rehearsal.yaml."""
        return _render("rehearsal.yaml.j2", **vars(self), locustfile=LOCUSTFILE)

    def locustfile(self) -> str:
        """The text of the locustfile."""
        return _render(
            "locustfile.py.j2",
            name=self.name, source=self.routes, tasks=self.tasks, file=LOCUSTFILE,
        )  # fmt: skip


def draft(root: Path, given: Path | None, rollout: str | None = None) -> Draft:
    """What can be said of the Rollout of a repository.

    Args:
        root: The repository, which the two files will lie in.
        given: The manifests; None is those that are found in it.
        rollout: The name of the Rollout; None is the only one.

    Raises:
        UsageError: if there is no Rollout, or more than one.
    """
    source = given or _manifests(root)
    found = tuple(documents.read(source))
    every = [d for d in found if d.kind == "Rollout" and is_argo(d)]
    rollouts = [d for d in every if rollout in (None, d.name, d.qualified)]
    if len(rollouts) != 1:
        there = ", ".join(manifests.told_apart(every))
        remedy = f"choose one with --rollout: there are {there}" if every else "name others"
        of = f" of the name {rollout!r}" if rollout else ""
        raise UsageError(f"{source} holds {len(rollouts)} Rollouts{of}", remedy)
    made = Draft(rollouts[0].name, _relative(source, root), source, helm.is_chart(source))
    if made.chart:
        beside = sorted({*root.glob("values*.y*ml"), *source.glob("values[-_.]?*.y*ml")})
        made.values = [_relative(file, root) for file in beside if file.name != "values.yaml"]
    if len(every) > 1:
        plain = made.name in manifests.told_apart(every)
        made.rollout = made.name if plain else rollouts[0].qualified
    others = [d for d in found if d not in every]
    made.also = list(_elsewhere(root, [rollouts[0], *others]))
    chosen = manifests.with_workload(rollouts[0], found)
    spec = mapping(mapping(chosen.spec.get("template")).get("spec"))
    containers = [mapping(container) for container in listed(spec.get("containers"))]
    if not containers:
        workload = mapping(chosen.spec.get("workloadRef"))
        remedy = "name another"
        if workload:
            named = f"{scalar(workload.get('kind'))}/{scalar(workload.get('name'))}"
            remedy = f"its workloadRef names {named}: name manifests that contain both"
        raise UsageError(f"{rollouts[0]} of {source} has no containers", remedy)
    main = _main(containers, found)
    build, command = _built(root, made.name)
    made.build = [_flow(words) for words in build]
    own = built_below(root, source)
    sources = root / own if own and not build else root
    for container in containers:
        name = image_name(scalar(container.get("image")))
        if container is main:
            made.images[name] = _image(container, command, _image_words(sources), made.build)
            _variables(made, container)
        else:
            made.images[name] = ("[]", "a sidecar: not run here")
    told = [made.images[image_name(scalar(main.get("image")))], *made.variables.values()]
    if not any("{port" in text for text, _ in told):
        made.listen = "{host: HOST, port: PORT}"
    _secrets(made, spec, containers)
    asked = mapping(mapping(main.get("readinessProbe")).get("httpGet"))
    served = dict(_ports(main)).keys() & {str(asked.get("port"))}
    probe = scalar(asked.get("path")) if served else "/"
    made.routes, made.tasks = draft_routes.tasks(root, sources, probe)
    return made


# ------------------------------------------------------------------------------------- manifests


def _manifests(root: Path) -> Path:
    """The folder or the file of the one Rollout below the root."""
    reading = repository.read([str(root)])
    places = set()
    for document in reading.documents:
        if document.kind == "Rollout" and is_argo(document):
            # An overlay that only lists its base is a place of its own.
            within = document.file.removeprefix(str(root)).removesuffix(" (rendered)")
            _, _, beyond = within.partition("/../")
            place = Path(document.file.removesuffix(" (rendered)").removesuffix(f"/../{beyond}"))
            folder = place if place.is_dir() else place.parent
            # In the root lie files that are no manifests.
            places.add(place if folder.resolve() == root.resolve() else folder)
    places |= set(_charts(root))
    if len(places) == 1:
        return places.pop()
    if places:
        listing = ", ".join(sorted(map(str, places)))
        remedy = "name one with --manifests"
        if any(own := [built_below(root, place) for place in sorted(places)]):
            folder = next(filter(None, own))
            remedy += f", or a service's own folder with --repository, such as {root / folder}"
        raise UsageError(f"there are Rollouts in {listing}", remedy)
    raise UsageError(f"{root} holds no Rollout", "name its manifests with --manifests")


def _elsewhere(root: Path, found: Sequence[Document]) -> Iterator[str]:
    """Where the Rollout's other templates and monitors lie below the root, if one has the name."""
    there = {(document.kind, document.name) for document in found}
    others = [
        document
        for document in repository.read([str(root)]).documents
        if document.kind != "Rollout" and (document.kind, document.name) not in there
    ]
    try:
        bundle = manifests.take(found, "", elsewhere=others)
    except UsageError:
        return
    wanted: set[tuple[str, str]] = {(m.kind, m.metadata.name) for m in bundle.monitors}
    named = manifests.named_templates([*found, *others])
    wanted |= {(kind, name) for kind in manifests.TEMPLATE_KINDS for name in named}
    given = [(document.kind, document.name) for document in others]
    files = [
        document.file.removesuffix(" (rendered)")
        for document, key in zip(others, given, strict=True)
        if key in wanted and given.count(key) == 1
    ]
    yield from dict.fromkeys(_relative(Path(file), root) for file in files)


def _charts(root: Path) -> Iterator[Path]:
    """The charts whose templates have a Rollout; one that another depends on is part of that."""
    for file in draft_routes.files(root):
        above = file.parent.parent
        inner = above.name == "charts" and (above.parent / helm.CHART).is_file()
        if file.name == helm.CHART and not inner:
            templates = file.parent.glob("templates/**/*.yaml")
            if any(_ROLLOUT.search(t.read_text(errors="replace")) for t in templates):
                yield file.parent


_ROLLOUT = re.compile(r"^kind: *Rollout\b", re.MULTILINE)


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(path.resolve(), root.resolve())


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


def _built(root: Path, name: str) -> Built:
    """The commands that build what lies here, and the command that runs it, or nothing."""
    return next((how(root, name) for file, how in _BUILDS.items() if (root / file).is_file()), NONE)


def built_below(root: Path, manifests: Path) -> Path | None:
    """The folder of a larger repository that builds the service whose manifests these are."""
    place = manifests.resolve()
    for folder in (place, *place.parents):
        if folder == root.resolve() or not folder.is_relative_to(root.resolve()):
            return None
        if _built(folder, "")[0]:
            return folder.relative_to(root.resolve())
    return None


def _go(root: Path, name: str) -> Built:
    """The package of this name, or the one nearest to the top."""
    mains = [
        _relative(file.parent, root) for file in draft_routes.files(root) if file.name == "main.go"
    ]
    named = [place for place in mains if Path(place).name == name]
    place = next(iter(named or mains), ".")
    package = place if place == "." else f"./{place}"
    return [["go", "build", "-o", f"{{out}}/bin/{name}", package]], [name]


# What installs exactly what a file locks, by the name of that file.
_NODE = {
    "package-lock.json": ["npm", "ci"],
    "pnpm-lock.yaml": ["pnpm", "install", "--frozen-lockfile"],
    "yarn.lock": ["yarn", "install", "--frozen-lockfile"],
}


def _node(root: Path, _: str) -> Built:
    try:
        package = mapping(json.loads((root / "package.json").read_text(encoding="utf-8")))
    except ValueError:
        package = {}
    locked = (words for lock, words in _NODE.items() if (root / lock).is_file())
    install = next(locked, ["npm", "install"])
    scripts = mapping(package.get("scripts"))
    build = [install, *([[install[0], "run", "build"]] if "build" in scripts else [])]
    start = scalar(scripts.get("start"))
    if start.startswith("node ") and not re.search(r"[&|;$\"']", start):
        return build, start.split()
    if start:
        return build, [install[0], "start"]
    return build, ["node", scalar(package.get("main")) or "server.js"]


def _maven(root: Path, _: str) -> Built:
    """Its archive is called by the project's own coordinates, which come first."""
    own = re.sub(r"<parent>.*?</parent>", "", _text(root / "pom.xml"), flags=re.DOTALL)
    names = [re.search(rf"<{tag}>\s*([\w.-]+)", own) for tag in ("artifactId", "version")]
    jar = "target/" + "-".join(name[1] for name in names if name) + ".jar"
    maven = "./mvnw" if (root / "mvnw").is_file() else "mvn"
    return [[maven, "-q", "-DskipTests", "package"]], ["java", "-jar", jar]


def _gradle(root: Path, name: str) -> Built:
    """Its archive is called by the project's name and version."""
    texts = "".join(_text(file) for file in sorted(root.glob("*.gradle*")))

    def said(what: str) -> str:
        found = re.search(rf"^\s*{what}\s*=?\s*[\"']([\w.-]+)[\"']", texts, re.MULTILINE)
        return found[1] if found else ""

    jar = "-".join(filter(None, [said("rootProject.name") or name, said("version")]))
    gradle = "./gradlew" if (root / "gradlew").is_file() else "gradle"
    build = [gradle, "--quiet", "build", "-x", "test"]
    return [build], ["java", "-jar", f"build/libs/{jar}.jar"]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


_BUILDS: dict[str, Callable[[Path, str], Built]] = {
    "go.mod": _go,
    "package.json": _node,
    "uv.lock": lambda *_: ([["uv", "sync", "--frozen", "--no-dev"]], []),
    "requirements.txt": lambda *_: ([_PYTHON, [*_PIP, "--requirement", "requirements.txt"]], []),
    "pyproject.toml": lambda *_: ([_PYTHON, [*_PIP, "."]], []),
    "pom.xml": _maven,
    "build.gradle": _gradle,
    "build.gradle.kts": _gradle,
    "Cargo.toml": lambda _, name: (
        [["cargo", "install", "--locked", "--path", ".", "--root", "{out}"]],
        [name],
    ),
}


# What an image runs: its entrypoint, and the arguments that a manifest's own replace.
Words = tuple[list[str], list[str]]


def _image_words(folder: Path) -> Words:
    """What the last stage of a folder's Dockerfile runs."""
    file = folder / "Dockerfile"
    text = re.sub(r"\\\s*\n", " ", _text(file)) if file.is_file() else ""
    found: dict[str, list[str]] = {}
    for name, given in _INSTRUCTION.findall(text):
        if name.upper() == "FROM":
            found = {}
        else:
            found[name.upper()] = _shell_words(given)
    return found.get("ENTRYPOINT", []), found.get("CMD", [])


_INSTRUCTION = re.compile(r"^\s*(FROM|ENTRYPOINT|CMD)\s+(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def _shell_words(text: str) -> list[str]:
    """The words of an instruction, which is a JSON list or a shell's line."""
    try:
        if text.startswith("["):
            return [str(word) for word in json.loads(text)]
        return ["sh", "-c", text] if re.search(r"[$&|;<>`]", text) else shlex.split(text)
    except ValueError:
        return []


def _image(
    container: Mapping[str, Any], command: list[str], image: Words, built: Sequence[str]
) -> tuple[str, str]:
    """The command in place of an image: the manifest's own, or the image's, told its ports."""
    own, args = (list(map(str, listed(container.get(key)))) for key in ("command", "args"))
    # The manifest's command replaces both of the image's, its arguments those of the image alone.
    entry, more = (own, args) if own else (image[0], args or image[1])
    inside = next(iter([*entry, *more]), "")
    if command and not own and not inside.startswith("/"):
        entry, more = command, args
    words = [*entry, *more]
    if not words:
        what = "its program, as `build` makes it" if built else "its program"
        return _flow([UNKNOWN]), f"{what}: it could not be guessed"
    told = [_told(word, container) for word in words]
    if inside.startswith("/") and not Path(inside).exists():
        return _run([*(command or [UNKNOWN]), *told[1:]]), f"instead of {inside}"
    if entry is command:
        return (_flow(command) if told == words else _run(told)), "guessed"
    return _run(told), "" if own else "as the Dockerfile says"


def _run(words: list[str]) -> str:
    return f"{{run: {_flow(words)}}}"


def _told(text: str, container: Mapping[str, Any]) -> str:
    """A text with the container's ports, and the address of all interfaces, as placeholders."""
    for name, number in _ports(container):
        text = re.sub(rf"(?<![\w.]){number}(?![\w.])", f"{{port.{name}}}", text)
    return _ALL_ADDRESSES.sub("{host}", text)


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
            made.variables[name] = _flow(value), _ELSEWHERE


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
        projected = map(mapping, listed(mapping(volume.get("projected")).get("sources")))
        for secret in filter(None, (mapping(one.get("secret")) for one in (volume, *projected))):
            name = scalar(secret.get("secretName") or secret.get("name"))
            yield name, "", ""
            yield from (
                (name, scalar(item.get("key")), "")
                for item in map(mapping, listed(secret.get("items")))
            )
        attributes = mapping(mapping(volume.get("csi")).get("volumeAttributes"))
        if "secretProviderClass" in attributes:
            yield scalar(attributes["secretProviderClass"]), "", ""


# ------------------------------------------------------------------------------------------ text


def _flow(value: object) -> str:
    """A value as JSON, which YAML also is."""
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    """A name as the key that it is, such as an image without one, or one that is a number."""
    return name if re.fullmatch(r"[A-Za-z_][\w.-]*", name) else _flow(name)


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("canary.rehearse"),
        autoescape=False,  # noqa: S701 — YAML and Python, whose values are quoted as such
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["key"] = _key
    return environment.get_template(template).render(**values)
