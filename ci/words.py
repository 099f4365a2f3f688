"""Texts in the words of the field: `words.py [FILE…]` refuses those that ci/words.toml lists.

It reads what people read: pages, help, messages, panels and alerts. Identifiers, comments,
docstrings, tests and generated files are not read, nor is anything in backquotes.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("words.toml")
UNREAD = re.compile(
    r"(^|/)tests?/|(^|/)(test_|conftest)|\.generated\.|^CHANGELOG\.md$|^acceptance/.*\.yaml$"
)


@dataclass(frozen=True)
class Word:
    """What to say instead of what a pattern finds."""

    say: str
    instead_of: re.Pattern[str]


@dataclass(frozen=True)
class Allowance:
    """A place where a word is right, for a reason."""

    file: str
    line: str
    because: str


@dataclass(frozen=True)
class Finding:
    """A refused word in a text."""

    file: str
    line: int
    found: str
    say: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: '{self.found}'; say: {self.say}"


def read(table: Path = TABLE) -> tuple[tuple[Word, ...], tuple[Allowance, ...]]:
    """The words and the exceptions."""
    listed = tomllib.loads(table.read_text(encoding="utf-8"))
    words = tuple(
        Word(word["say"], re.compile(word["instead_of"], re.IGNORECASE)) for word in listed["word"]
    )
    return words, tuple(Allowance(**one) for one in listed.get("exception", ()))


def find(file: str, text: str, words: Iterable[Word]) -> Iterator[Finding]:
    """Every refused word of a file's texts."""
    for line, sentence in sentences(file, text):
        for word in words:
            for match in word.instead_of.finditer(sentence):
                if _is_named(sentence, *match.span()):
                    continue
                skipped = sentence.count("\n", 0, match.start())
                yield Finding(file, line + skipped, " ".join(match[0].split()), word.say)


def _is_named(sentence: str, begin: int, end: int) -> bool:
    """Whether a word is a part of a name, such as prove-load, look_s or looks.py."""
    before, after = sentence[max(begin - 1, 0) : begin], sentence[end : end + 2]
    return before in {"-", "/", "_", "."} or bool(re.match(r"[-/_.=]\w", after))


def sentences(file: str, text: str) -> Iterator[tuple[int, str]]:
    """What people read of a file: the line it begins at, and the text."""
    if file.endswith(".md"):
        yield 1, _page(text)
    elif file.endswith(".py"):
        yield from _strings(text)
    elif file.endswith((".yaml", ".yml")):
        yield 1, re.sub(r"(?m)(^|[ \t])#.*$|`[^`\n]*`", "", text)
    elif file.endswith(".j2"):
        yield 1, re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>|\{[{%].*?[%}]\}", _lines, text)
    elif Path(file).name == "Makefile":
        for number, line in enumerate(text.splitlines(), 1):
            if found := re.search(r"##@? (.*)$", line):
                yield number, found[1]


def _page(text: str) -> str:
    """A page without its code and the addresses of its links; of a block of code, the comments."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", _comments, text)
    text = re.sub(r"(?s)`[^`]*?`", _lines, text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def _comments(block: re.Match[str]) -> str:
    return "\n".join(line.partition("# ")[2] for line in block[0].split("\n"))


def _lines(match: re.Match[str]) -> str:
    """As many lines as before, so that numbers stay right."""
    return "\n" * match[0].count("\n")


def _strings(text: str) -> Iterator[tuple[int, str]]:
    """The sentences among a module's strings, its docstring too if that is shown as help."""
    tree = ast.parse(text)
    shown = "__doc__" in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    silent = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not (shown and isinstance(node, ast.Module))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
            said = "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = node.value
        else:
            continue
        if id(node) not in silent and re.search(r"\w \w", said):
            yield node.lineno, re.sub(r"(?s)`[^`]*?`", _lines, said)


def _part(part: ast.expr) -> str:
    """A part of an f-string; a number for whatever is filled in."""
    return str(part.value) if isinstance(part, ast.Constant) else "0"


def main(named: list[str]) -> int:
    """Name every refused word of the files given, or of all that git knows."""
    words, exceptions = read()
    files = (
        named
        or subprocess.run(
            ["git", "ls-files"], check=True, capture_output=True, text=True
        ).stdout.splitlines()
    )
    used: set[Allowance] = set()
    bad = 0
    for file in files:
        if UNREAD.search(file) or not Path(file).is_file():
            continue
        if not file.endswith((".md", ".py", ".yaml", ".yml", ".j2", "Makefile")):
            continue
        lines = (text := Path(file).read_text(encoding="utf-8")).splitlines()
        for finding in find(file, text, words):
            line = lines[finding.line - 1]
            allowed = [e for e in exceptions if e.file == file and e.line in line]
            used.update(allowed)
            if not allowed:
                sys.stderr.write(f"{finding}\n")
                bad += 1
    for exception in sorted(set(exceptions) - used, key=str) if not named else ():
        sys.stderr.write(f"{TABLE.name}: nothing needs the exception of {exception.file}\n")
        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
