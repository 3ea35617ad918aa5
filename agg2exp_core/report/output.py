"""Where a report goes: a folder on a disk, or ``report/`` in a store. Its pages open without a network."""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import jinja2
from matplotlib.figure import Figure

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import darken, to_png
from agg2exp_core.labels import group_of, readable
from agg2exp_core.report.browser_volumes import BrowserVolume
from agg2exp_core.report.sections import NUMBERS, Page, Picture, shown, sort_key
from agg2exp_core.store import Store

MARKER = ".agg2exp-report"
_ROOM = files("agg2exp_core.report")
_OF_VIEWER = ("niivue.js", "niivue.js.txt", "viewer.js")
"""Scripts, and a licence, that only pages with a volume viewer need."""


class Output(ABC):
    """A report on its way; addresses of its files are relative to its root, parts separated by slashes."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("agg2exp_core.report", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            shown=shown,
            sort_key=sort_key,
            readable=readable,
            address=quote,
            group=lambda name: group_of(name).replace(" ", "-"),
        )

    @abstractmethod
    def write(self, address: str, content: bytes) -> str:
        """Write a file; return its address."""

    def show_stored(self, store: Store, name: str, address: str) -> str:
        """Let pages show a file of a store; return the address at which they find it."""
        return self.write(address, store.read_file(name))

    def write_page(self, address: str, page: Page) -> str:
        """Render a page."""
        template = self._templates.get_template("scan.html" if page.explained else "base.html")
        html = template.render(page=page, up="../" * address.count("/"), numbers=NUMBERS)
        return self.write(address, html.encode())

    def write_picture(
        self, stem: str, figure: Figure, caption: str, explanation: str, dpi: int = 110
    ) -> Picture:
        """Write a figure as ``stem.png``; one on white also as ``stem-dark.png``, for pages in the dark."""
        is_white = figure.get_facecolor()[:3] == (1.0, 1.0, 1.0)
        file = self.write(f"{stem}.png", to_png(figure, dpi))
        dark_file = self.write(f"{stem}-dark.png", to_png(darken(figure), dpi)) if is_white else ""
        return Picture(file, caption, explanation, dark_file)

    def write_volume(self, address: str, volume: BrowserVolume) -> str:
        """Write a volume as a script that hands it over: a page on a disk may load scripts alone."""
        told = {
            "nifti": base64.b64encode(volume.nifti).decode("ascii"),
            "thresholds": volume.thresholds,
            "unit": volume.unit,
        }
        return self.write(address, f"agg2exp.deliver({json.dumps(address)}, {json.dumps(told)});\n".encode())

    def write_assets(self, without: tuple[str, ...] = ()) -> None:
        """Write the style, the scripts and their licences, but for some."""
        for address, content in _assets():
            if address.rpartition("/")[2] not in without:
                self.write(address, content)


def _assets() -> Iterator[tuple[str, bytes]]:
    for folder in ("vendor", "templates"):
        for file in _ROOM.joinpath(folder).iterdir():
            if file.name.endswith((".js", ".css")):
                yield f"assets/{file.name}", file.read_bytes()
    for licence in _ROOM.joinpath("vendor", "licences").iterdir():
        yield f"assets/licences/{licence.name}", licence.read_bytes()


class ReportFolder(Output):
    """A report in a folder of its own: all of it appears at its place in the end, or nothing.

    A context manager. A report that is there is replaced; another folder is not.

    Parameters
    ----------
    path : Path
        Where it will be.

    Raises
    ------
    UsageError
        If there is something else, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if path.exists() and not (path / MARKER).exists() and (path.is_file() or any(path.iterdir())):
            raise UsageError(
                path,
                got="a file, or a folder with other things in it",
                allowed="a new or empty folder, or an earlier report",
                remedy="choose another --out",
            )
        self._path = path.absolute()
        self._partial = self._path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> ReportFolder:
        try:
            self._partial.mkdir(parents=True)
            (self._partial / MARKER).touch()
        except OSError as error:
            raise UsageError(
                self._path,
                got=f"a folder that cannot be written ({error.strerror})",
                allowed="a writable folder",
                remedy="choose another --out",
            ) from error
        self.write_assets()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            if self._path.exists():
                shutil.rmtree(self._path)
            self._partial.replace(self._path)
        else:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, address: str, content: bytes) -> str:
        """Write a file; return its address."""
        target = self._partial / address
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return address


class StoreReport(Output):
    """The cohort pages that runs publish, under ``report/`` of their store; older files are replaced or stay.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.files: list[str] = []
        """Names in the store of what was written but the assets, in order."""
        self.write_assets(without=_OF_VIEWER)
        self.files.clear()

    def write(self, address: str, content: bytes) -> str:
        """Write a file; return its address."""
        self._store.write_file(f"report/{address}", content)
        self.files.append(f"report/{address}")
        return address

    def show_stored(self, store: Store, name: str, address: str) -> str:
        """Leave the file where it is, beside the report."""
        return f"../{name}"
