"""Texts in the words of the field: `words.py [FILE…]` refuses those that ci/words.toml lists.

It reads what people read: pages, help, messages, panels and alerts. Identifiers, comments,
docstrings, tests and generated files are not read, nor is anything in backquotes.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("words.toml")
READ = (".md", ".py", ".yaml", ".yml", ".j2", "Makefile")
UNREAD = re.compile(
    r"(^|/)tests?/|(^|/)(test_|conftest)|\.generated\.|^CHANGELOG\.md$|^acceptance/.*\.yaml$"
)
_NAME = re.compile(r"[-/_.=]\w")


class Finding(NamedTuple):
    """A refused word in a text, and what to say instead."""

    file: str
    line: int
    found: str
    say: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: '{self.found}'; say: {self.say}"


def read(table: Path = TABLE) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The words, each with `say` and `instead_of`, and the exceptions."""
    listed = tomllib.loads(table.read_text(encoding="utf-8"))
    return listed["word"], listed.get("exception", [])


def find(file: str, text: str, words: Iterable[Mapping[str, str]]) -> Iterator[Finding]:
    """Every refused word of a file's texts."""
    for line, sentence in sentences(file, text):
        for word in words:
            for match in re.finditer(word["instead_of"], sentence, re.IGNORECASE):
                # Not a part of a name, such as prove-load, look_s or looks.py.
                before, after = sentence[max(match.start() - 1, 0) : match.start()], match.end()
                if before not in {"-", "/", "_", "."} and not _NAME.match(sentence, after):
                    skipped = sentence.count("\n", 0, match.start())
                    yield Finding(file, line + skipped, " ".join(match[0].split()), word["say"])


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
    # A string that stands alone says something to whoever reads the code.
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    if any(isinstance(node, ast.Name) and node.id == "__doc__" for node in ast.walk(tree)):
        silent -= {id(node.value) for node in tree.body[:1] if isinstance(node, ast.Expr)}
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
    every = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout
    needed, bad = [], []
    for file in named or every.splitlines():
        if UNREAD.search(file) or not file.endswith(READ) or not Path(file).is_file():
            continue
        lines = (text := Path(file).read_text(encoding="utf-8")).splitlines()
        for finding in find(file, text, words):
            line = lines[finding.line - 1]
            allowed = [e for e in exceptions if e["file"] == file and e["line"] in line]
            needed += allowed
            bad += [] if allowed else [str(finding)]
    unneeded = [] if named else [e["file"] for e in exceptions if e not in needed]
    bad += [f"{TABLE.name}: nothing needs the exception of {file}" for file in unneeded]
    sys.stderr.writelines(f"{line}\n" for line in bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
