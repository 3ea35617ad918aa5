"""The rooms of the code: lines of each, and which imports which.

`python -m benchmarks.rooms docs/images/rooms.svg` prints the table and draws the picture of
docs/architecture.md, and beside it `rooms-dark.svg` for dark pages. Rooms and layers are those of the import
contracts in pyproject.toml, imports those that the code makes.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import grimp
import networkx as nx
from matplotlib import rc_context
from rich.console import Console
from rich.table import Table

from agg2exp_core.figures import darken, to_svg
from benchmarks.rooms_figure import draw

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class House:
    """The rooms of a code, by layer.

    Parameters
    ----------
    layers : sequence of sequences of str
        Rooms as module names, the highest layer first: a room imports only rooms of lower layers.
    inner : str
        The package whose rooms the lower layers are.
    n_files, n_lines : mapping
        Python files and their lines, by room; of all rooms, those outside the layers included.
    imports : networkx.DiGraph
        From each room to those that it imports.
    engine : str
        The package that the inner rooms must not import.
    with_engine : set of str
        Rooms that import it.
    """

    layers: Sequence[Sequence[str]]
    inner: str
    n_files: Mapping[str, int]
    n_lines: Mapping[str, int]
    imports: nx.DiGraph
    engine: str
    with_engine: Set[str]


def read_house(root: Path) -> House:
    """Return the rooms of a checkout, whose packages Python finds there.

    Parameters
    ----------
    root : Path
        Folder of a pyproject.toml with contracts of import-linter: one of layers of packages, one of layers
        within the lowest of them, and one that forbids this one a package.
    """
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    contracts = settings["contracts"]
    outer, inner = sorted((c for c in contracts if c["type"] == "layers"), key=lambda c: "containers" in c)
    (engine,) = next(c for c in contracts if c["type"] == "forbidden")["forbidden_modules"]
    (container,) = inner["containers"]
    layers = [[layer] for layer in outer["layers"] if layer != container]
    layers += [[f"{container}.{name.strip()}" for name in layer.split("|")] for layer in inner["layers"]]
    rooms = {name for layer in layers for name in layer}
    graph = grimp.build_graph(
        *settings["root_packages"],
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    for ignored in outer.get("ignore_imports", []):
        importer, _, imported = ignored.partition(" -> ")
        graph.remove_import(importer=importer, imported=imported)
    n_files: dict[str, int] = {}
    n_lines: dict[str, int] = {}
    imports = nx.DiGraph()
    imports.add_node(engine)
    for module in sorted(graph.modules):
        if graph.is_module_squashed(module):  # a package of others
            continue
        room = _room(module, rooms, container)
        n_files[room] = n_files.get(room, 0) + 1
        n_lines[room] = n_lines.get(room, 0) + len(_file(root, module).read_text().splitlines())
        found = {_room(other, rooms, container) for other in graph.find_modules_directly_imported_by(module)}
        imports.add_node(room)
        imports.add_edges_from((room, other) for other in found - {room})
    with_engine = set(imports.predecessors(engine))
    imports = imports.subgraph(n_files)
    return House(layers, container, n_files, n_lines, imports, engine, with_engine)


def _room(module: str, rooms: Iterable[str], container: str) -> str:
    """Return the room that a module lies in; what no layer names is a room of its own."""
    inside = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    if inside:
        return max(inside, key=len)
    return ".".join(module.split(".")[:2]) if module.startswith(f"{container}.") else module


def _file(root: Path, module: str) -> Path:
    folder = root.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def table(house: House) -> Table:
    """Return a row a room: files, lines, and the rooms that it imports."""
    found = Table("room", title="rooms, the highest layer first")
    for heading in ("files", "lines"):
        found.add_column(heading, justify="right")
    found.add_column("imports")
    ordered = list(
        dict.fromkeys([*(room for layer in house.layers for room in layer), *sorted(house.n_files)])
    )
    for room in ordered:
        imported = ", ".join(
            other.rpartition(".")[2] for other in ordered if house.imports.has_edge(room, other)
        )
        found.add_row(room, str(house.n_files[room]), f"{house.n_lines[room]:,}", imported)
    found.add_section()
    found.add_row("all", str(sum(house.n_files.values())), f"{sum(house.n_lines.values()):,}", "")
    return found


def write_picture(house: House, path: Path) -> list[Path]:
    """Draw the house, and again for a dark page; return the files."""
    dark = path.with_stem(f"{path.stem}-dark")
    with rc_context({"svg.hashsalt": "rooms"}):  # the same picture is the same file
        path.write_bytes(to_svg(draw(house)))
        dark.write_bytes(to_svg(darken(draw(house))))
    return [path, dark]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and draw the picture where a file is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rooms", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, help="picture to write (.svg)")
    out = parser.parse_args(arguments).out
    house = read_house(ROOT)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table(house))
    if out is not None:
        for written in write_picture(house, out):
            console.print(f"wrote {written}")


if __name__ == "__main__":
    main()
