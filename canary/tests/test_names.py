"""Nothing of the service that is rehearsed is known here: it stands in `rehearsal.yaml` alone."""

import re
import tomllib

import yaml


def test_no_file_of_the_product_names_the_service_or_its_routes(root):
    service = tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"]
    traffic = yaml.safe_load((root / "loadtest/rehearsal.yaml").read_text())["traffic"]
    routes = {re.match(r"(/v\d+)?/[\w.-]*", each["path"])[0] for each in traffic["requests"]}
    named = re.compile("|".join(map(re.escape, (service, *routes))), re.IGNORECASE)
    files = [
        file
        for file in (root / "canary").rglob("*")
        if file.suffix in {".py", ".yaml", ".md", ".j2", ".css", ".js", ".toml"}
        and "tests" not in file.relative_to(root).parts
    ]
    assert len(files) > 100
    found = [
        f"{file.relative_to(root)}: {word}"
        for file in files
        for word in named.findall(file.read_text(encoding="utf-8"))
    ]
    assert found == []
