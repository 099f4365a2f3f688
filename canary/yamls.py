"""YAML as Kubernetes reads it: what JSON can say, in bounds, and where each value stands.

A date is the text that it is, since JSON knows none. What Kubernetes refuses is refused: a key that
is given twice, a number that is not finite. So is what would take the reader down with it: nesting
and aliases without end, an integer of thousands of digits.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from canary.errors import UsageError

LARGEST_BYTES = 20_000_000
# A CustomResourceDefinition's schema is some forty deep, and has some ten thousand values.
DEEPEST, MAX_NODES = 100, 200_000

_TEXT, _DEFAULT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:value"
_NOT_JSON = {
    f"tag:yaml.org,2002:{name}" for name in ("timestamp", "binary", "omap", "pairs", "set")
}

_PATH_PART = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")


@dataclass(frozen=True, eq=False)
class Document:
    """One object of the manifests, and the file it came from; equal only to itself."""

    file: str
    body: Any
    node: yaml.Node | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """The object's kind, or nothing."""
        return scalar(self.body.get("kind"))

    @property
    def name(self) -> str:
        """The object's name, or nothing."""
        metadata = mapping(self.body.get("metadata"))
        return scalar(metadata.get("name")) or scalar(metadata.get("generateName"))

    @property
    def namespace(self) -> str:
        """The object's namespace, or nothing."""
        return scalar(mapping(self.body.get("metadata")).get("namespace"))

    @property
    def qualified(self) -> str:
        """The object's name behind its namespace, if it has one."""
        return f"{self.namespace}/{self.name}".lstrip("/")

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The object's annotations."""
        return mapping(mapping(self.body.get("metadata")).get("annotations"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """The object's spec."""
        return mapping(self.body.get("spec"))

    def with_spec(self, spec: Mapping[str, Any]) -> Document:
        """The object with another spec."""
        return replace(self, body={**self.body, "spec": spec})

    def position(self, path: str = "") -> tuple[int, int]:
        """Line and column of `spec.metrics[0].name`, or of as much of it as there is; from 1."""
        if self.node is None:
            return 1, 1
        key: yaml.Node = self.node
        value: yaml.Node | None = self.node
        for bracketed, plain in _PATH_PART.findall(path):
            found, value = _child(value, bracketed or plain)
            key = found or key
        return key.start_mark.line + 1, key.start_mark.column + 1

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object of JSON, else an empty one: a linter meets anything."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def scalar(value: object) -> str:
    """The value as text if it is a scalar, else nothing."""
    return str(value) if isinstance(value, str | int | float) and value is not True else ""


def without_null(value: Any) -> Any:
    """As the API server keeps it: a field without a value is none."""
    if isinstance(value, dict):
        return {str(key): without_null(held) for key, held in value.items() if held is not None}
    return [without_null(held) for held in value] if isinstance(value, list) else value


def path_of(parts: Iterable[str | int]) -> str:
    """The parts of a path as `spec.metrics[0].name`."""
    words = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return "".join(words).lstrip(".")


def objects(file: str, content: str) -> Iterator[Document]:
    """The objects of a text; a `List` stands for its items (what `kubectl get -o yaml` prints).

    Raises:
        UsageError: if it is not such YAML, or a document is no object.
    """
    for document in load(file, content):
        if document.body is None:
            continue
        if not isinstance(document.body, dict):
            kind = type(document.body).__name__
            raise UsageError(f"{file} contains {kind}, not an object", "correct it")
        yield from items(document)


def items(document: Document) -> Iterator[Document]:
    """The object, or those that a `List` stands for."""
    if document.kind != "List":
        yield document
        return
    nodes = _child(document.node, "items")[1]
    for index, item in enumerate(listed(document.body.get("items"))):
        if isinstance(item, dict):
            yield Document(document.file, item, _child(nodes, str(index))[1])


def read(path: Path) -> list[Document]:
    """The documents of a file.

    Raises:
        UsageError: if it cannot be read, or is not such YAML.
    """
    return load(str(path), text(path))


def text(path: Path) -> str:
    """A file's text.

    Raises:
        UsageError: if it is no file, cannot be read, is too large, or is not UTF-8.
    """
    try:
        # Reading from a pipe or a device might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a file", "name a file")
        if path.stat().st_size > LARGEST_BYTES:
            raise UsageError(f"{path} has more than {LARGEST_BYTES:,} bytes", "name a smaller one")
        return decode(str(path), path.read_bytes())
    except OSError as failed:
        raise UsageError(f"{path}: {failed.strerror}", "name a file that can be read") from None
    except ValueError:
        raise UsageError(f"{str(path)!r} is not a path", "name a file") from None


def decode(file: str, content: bytes) -> str:
    """A file's bytes as text, without a byte order mark.

    Raises:
        UsageError: if they are not UTF-8, with the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        raise UsageError(f"{file} line {line} is not UTF-8", "save it as UTF-8") from None


def load(file: str, content: str) -> list[Document]:
    """The documents of a text.

    Raises:
        UsageError: if it is not such YAML.
    """
    try:
        loader = _Loader(content)
        found = []
        while loader.check_node():
            node = loader.get_node()
            body = loader.construct_document(node)
            found.append(Document(file, body, node))
    except yaml.MarkedYAMLError as broken:
        mark = broken.problem_mark or broken.context_mark
        where = f"{file} line {mark.line + 1}" if mark else file
        said = broken.problem or broken.context or "it cannot be parsed"
        helm = re.search(r"\{\{-? *(if|range|with|include|end|\.)", content)
        remedy = "it is a template: render it with helm template CHART" if helm else "correct it"
        raise UsageError(f"{where} is not YAML: {said}", remedy) from None
    except yaml.reader.ReaderError as broken:
        line = content.count("\n", 0, broken.position) + 1
        raise UsageError(
            f"{file} line {line} is not YAML: it contains the character {broken.character!r}",
            "correct it",
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as broken:
        raise UsageError(f"{file} is not YAML: {broken}", "correct it") from None
    return found


class _Loader(yaml.SafeLoader):
    """Counts what it composes, aliases by what they stand for, and refuses what is not JSON."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def scan_to_next_token(self) -> None:
        # Kubernetes' parser, go-yaml, reads a tab as a space unless it might be an indentation.
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth == DEEPEST:
            raise _refusal(f"it nests deeper than {DEEPEST} levels", event)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if id(node) not in self._sizes:
            if isinstance(event, yaml.AliasEvent):
                raise _refusal("an alias within what it stands for", event)
            self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in _children(node))
        if self._sizes[id(node)] > MAX_NODES:
            raise _refusal(f"it stands for more than {MAX_NODES:,} values", event)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as wrong:
            raise _refusal(str(wrong), node) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _refusal(f"{node.value} is not a finite number", node)
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _refusal("a key is not text", key)
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    raise _refusal(f"{key.value!r} is given twice", key)
                seen.add(key.value)
                if key.tag in _PLAIN_KEYS:
                    # JSON's keys are texts, so `8080:` is one.
                    key.tag = _TEXT
        return super().construct_mapping(node, deep)


_PLAIN_KEYS = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "null")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag not in {*_NOT_JSON, _DEFAULT}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: build for tag, build in yaml.SafeLoader.yaml_constructors.items() if tag not in _NOT_JSON
}


def _child(node: Any, part: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Where a part of a path stands below a node, and its value."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), (None, None))
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None, None


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _refusal(text: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, at.start_mark)
