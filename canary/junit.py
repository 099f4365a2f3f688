"""JUnit XML, which CI systems show: a suite of cases, each passed, failed, in error or skipped."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Case:
    """One case, and what is wrong with it."""

    classname: str
    name: str
    wrong: Literal["", "failure", "error", "skipped"] = ""
    message: str = ""
    remedy: str = ""


def suite(name: str, cases: Iterable[Case], **attributes: str) -> str:
    """The document of one suite; its counts are those of the cases."""
    made = ET.Element("testsuite", {"name": printable(name), **attributes})
    for case in cases:
        place = {"classname": printable(case.classname), "name": printable(case.name)}
        element = ET.SubElement(made, "testcase", place)
        if case.wrong:
            wrong = ET.SubElement(element, case.wrong, message=printable(case.message))
            wrong.text = printable(case.remedy) or None
    made.set("tests", str(len(made)))
    for kind, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        made.set(count, str(len(made.findall(f"testcase/{kind}"))))
    ET.indent(made)
    return ET.tostring(made, encoding="unicode", xml_declaration=True) + "\n"


def printable(text: str) -> str:
    """Text without what XML 1.0 has no way to write, such as control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
