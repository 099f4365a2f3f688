"""The release that passes every rule, with edits."""

from canary.power import catalogue, edits


def release(*changes, of=None):
    """The objects of the good release, or of another, with these changes."""
    read = [edits.read(change) for change in changes]
    return edits.apply(catalogue.good_release() if of is None else of, read)


def put(kind, path, value):
    """A value in its place."""
    return {"kind": kind, "path": path, "set": value}


def metric(name, change, key="provider.prometheus.query"):
    """A metric's query, or another of its fields: a text for the whole, or a pair to exchange."""
    path = f"spec.metrics[name={name}].{key}"
    kind = "set" if isinstance(change, str) else "replace"
    return {"kind": "AnalysisTemplate", "path": path, kind: change}
