"""Durations as Go and PromQL write them ("1m30s", "250ms", "2m"), in seconds here."""

from __future__ import annotations

import re

_UNIT_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
MAX_S = 100 * 365 * 86400.0
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w)")
# In PromQL a duration follows `[`, a subquery's colon or `offset`; strings are passed over.
_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"""|\[\s*(?P<range>[0-9a-z.]+)\s*(?P<step>:\s*[0-9a-z.]*\s*)?\]"""
    r"""|\boffset\s+(?P<sign>-?)(?P<offset>[0-9][0-9a-z.]*)"""
)


def parse(text: str) -> float:
    """Reads a duration ("1m30s"; a bare "0" too) and returns seconds.

    Raises:
        ValueError: if the text is not a duration.
    """
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f'"{text}" is not a duration such as 30s, 1m30s or 250ms')
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not seconds < MAX_S:
        raise ValueError(f'"{stripped[:40]}" is longer than a century')
    return seconds


def render(seconds: float) -> str:
    """Writes seconds as Prometheus reads them: whole units, milliseconds at the finest."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    text = ""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        text += f"{count}{unit}" if count else ""
    return text


def scale_query(query: str, factor: float) -> str:
    """Divides every range, subquery step and offset of a PromQL query by `factor`."""

    def shorten(text: str) -> str:
        return render(parse(text) / factor)

    def rewrite(token: re.Match[str]) -> str:
        if token["string"]:
            return token[0]
        if token["offset"]:
            return f"offset {token['sign']}{shorten(token['offset'])}"
        step = (token["step"] or "").strip()
        # An empty step (`[1h:]`) is Prometheus's own default and stays empty.
        scaled_step = ":" + (shorten(step[1:]) if step[1:].strip() else "") if step else ""
        return f"[{shorten(token['range'])}{scaled_step}]"

    return _TOKEN.sub(rewrite, query)


def ranges_s(query: str) -> tuple[float, ...]:
    """The range windows a PromQL query looks back over, in seconds, in order of appearance."""
    return tuple(parse(token["range"]) for token in _TOKEN.finditer(query) if token["range"])
