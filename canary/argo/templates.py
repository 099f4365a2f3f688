"""Which template a Rollout's reference names, as the controller looks it up.

Source: `getAnalysisTemplatesFromRefs`, rollout/analysis.go of v1.9.1: an AnalysisTemplate of the
Rollout's own namespace, or a ClusterAnalysisTemplate where clusterScope is true. Objects without a
namespace share one that nobody named.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from canary.yamls import Document, listed, mapping, scalar

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")


@dataclass(frozen=True)
class Reference:
    """A template by its name and where it is looked for; in no namespace if of the cluster."""

    name: str
    namespace: str | None = ""

    def __str__(self) -> str:
        kind = KINDS[self.namespace is None]
        where = f" of namespace {self.namespace}" if self.namespace else ""
        return f"{kind} {self.name!r}{where}"


def is_argo(document: Document) -> bool:
    """Whether an object is Argo's, and no namesake of another project such as Kruise."""
    version = scalar(document.body.get("apiVersion"))
    return not version or version.startswith("argoproj.io/")


def references(holder: Mapping[str, Any], namespace: str) -> list[Reference]:
    """The templates that an analysis, or another template, lists."""
    entries = [mapping(entry) for entry in listed(holder.get("templates"))]
    return [
        Reference(
            scalar(entry.get("templateName")),
            None if entry.get("clusterScope") is True else namespace,
        )
        for entry in entries
    ]


class Templates:
    """The templates among some objects."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._held: dict[Reference, Document] = {}
        self._below: dict[tuple[Reference, PurePath], Document] = {}
        for document in documents:
            if document.kind in KINDS and is_argo(document):
                reference = identity(document)
                self._held[reference] = document
                for folder in _up(document):
                    self._below[reference, folder] = document

    def __contains__(self, reference: object) -> bool:
        return reference in self._held

    def named(self, name: str) -> list[Reference]:
        """Every template of a name, wherever it is."""
        return [reference for reference in self._held if reference.name == name]

    def find(
        self, wanted: Iterable[Reference], rollout: Document, seen: set[Reference] | None = None
    ) -> Iterator[Document]:
        """The templates and those that they list, each once."""
        taken = set() if seen is None else seen
        for reference in wanted:
            if reference in self._held and reference not in taken:
                taken.add(reference)
                found = self._nearest(reference, rollout)
                yield found
                inner = references(found.spec, rollout.namespace)
                yield from self.find(inner, rollout, taken)

    def _nearest(self, reference: Reference, rollout: Document) -> Document:
        """Of several files with one template, as a repository of many services has, the closest.

        Of equals the last, which an apply of all of them would leave.
        """
        found = (self._below.get((reference, folder)) for folder in _up(rollout))
        return next(filter(None, found), self._held[reference])


def _up(document: Document) -> Iterator[PurePath]:
    """The file of an object and the folders above it, from the closest on."""
    file = PurePath(document.file)
    yield from (file, *file.parents)


def identity(template: Document) -> Reference:
    """What names a template."""
    cluster = template.kind == "ClusterAnalysisTemplate"
    return Reference(template.name, None if cluster else template.namespace)


def itself(template: Document) -> dict[str, Any]:
    """A reference to a template, as a Rollout beside it would write it."""
    cluster = template.kind == "ClusterAnalysisTemplate"
    return {"templates": [{"templateName": template.name, "clusterScope": cluster}]}
