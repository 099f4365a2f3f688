"""Synthesised samples in a real Prometheus: `promtool tsdb create-blocks-from openmetrics`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from canary.errors import MachineError
from canary.runtime import processes, prometheus
from canary.runtime.prometheus import Prometheus

# promtool reads its input once for every block of two hours, so each input stays inside one block.
BLOCK_S = 7200


def load(samples: Iterable[str], folder: Path, name: str) -> None:
    """Writes one block from samples that lie within it.

    Raises:
        MachineError: if promtool is missing or refuses them.
    """
    file = folder / f"{name}.om"
    with file.open("w", encoding="utf-8") as sink:
        sink.writelines(f"{sample}\n" for sample in samples)
        sink.write("# EOF\n")
    program = prometheus.find().with_name("promtool")
    to_blocks = ("tsdb", "create-blocks-from", "openmetrics")
    command = [str(program), *to_blocks, str(file), str(folder / "data")]
    done = processes.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise MachineError(f"promtool refused the samples: {done.stderr.strip()[-300:]}", str(file))
    file.unlink()


@contextmanager
def serving(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus over the blocks in a folder."""
    server = Prometheus(folder, jobs=[])
    server.start()
    try:
        yield server
    finally:
        server.stop()
