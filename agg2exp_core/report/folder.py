"""The folder of a report: pages, scripts, pictures and volumes that open from a disk, without a network."""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import group_of, readable
from agg2exp_core.report.browser_volumes import STRONGEST, BrowserVolume
from agg2exp_core.report.sections import NUMBERS, Section, shown, sort_key
from agg2exp_core.report.templating import templates_in

if TYPE_CHECKING:
    import jinja2

MARKER = ".agg2exp-report"
_ROOM = files("agg2exp_core.report")


@dataclass(frozen=True)
class Link:
    """A page that a page leads to; `address` is relative to the root of the report."""

    title: str
    address: str
    is_here: bool = False


@dataclass(frozen=True)
class Viewer:
    """What the volume viewer of a scan shows, JSON-ready; see ``templates/viewer.js``."""

    data: Mapping[str, Any]
    strongest: Sequence[int] = STRONGEST


@dataclass(frozen=True, eq=False)
class Page:
    """A page before any HTML.

    Parameters
    ----------
    title : str
    facts : mapping of str to str
        For its head.
    links : sequence of Link
    sections : sequence of Section
    explained : sequence of str
        Classes to choose from, on the page of a scan.
    viewer : Viewer, optional
        Shown in the section ``volume``.
    """

    title: str
    facts: Mapping[str, str]
    links: Sequence[Link]
    sections: Sequence[Section]
    explained: Sequence[str] = ()
    viewer: Viewer | None = None


class ReportFolder:
    """A report on its way: all of it appears at its place in the end, or nothing.

    A context manager. A report that is there is replaced; another folder is not.

    Parameters
    ----------
    path : Path
        Where it will be.

    Raises
    ------
    UsageError
        If there is something else, it cannot be written, or jinja2 is not installed.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not (path / MARKER).exists() and (path.is_file() or any(path.iterdir())):
            raise UsageError(
                path,
                got="a file, or a folder with other things in it",
                allowed="a new or empty folder, or an earlier report",
                remedy="choose another --out",
            )
        self._path = path.absolute()
        self._partial = self._path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
        self._templates = _templates()

    def __enter__(self) -> ReportFolder:
        try:
            (self._partial / "assets").mkdir(parents=True)
            (self._partial / MARKER).touch()
        except OSError as error:
            raise UsageError(
                self._path,
                got=f"a folder that cannot be written ({error.strerror})",
                allowed="a writable folder",
                remedy="choose another --out",
            ) from error
        for script in (*_ROOM.joinpath("vendor").iterdir(), *_ROOM.joinpath("templates").iterdir()):
            if script.name.endswith(".js"):
                self.write(f"assets/{script.name}", script.read_bytes())
        for licence in _ROOM.joinpath("vendor", "licences").iterdir():
            self.write(f"assets/licences/{licence.name}", licence.read_bytes())
        style = [_ROOM.joinpath("page.css"), _ROOM.joinpath("templates", "site.css")]
        self.write("assets/report.css", b"".join(part.read_bytes() for part in style))
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

    def write_volume(self, address: str, volume: BrowserVolume) -> str:
        """Write a volume as a script that hands it over: a page on a disk may load scripts alone."""
        told = {
            "nifti": base64.b64encode(volume.nifti).decode("ascii"),
            "thresholds": volume.thresholds,
            "unit": volume.unit,
        }
        return self.write(address, f"agg2exp.deliver({json.dumps(address)}, {json.dumps(told)});\n".encode())

    def write_page(self, address: str, page: Page) -> str:
        """Render a page."""
        template = "scan.html" if page.explained else "base.html"
        up = "../" * address.count("/")
        html = self._templates.get_template(template).render(page=page, up=up, numbers=NUMBERS)
        return self.write(address, html.encode())


def _templates() -> jinja2.Environment:
    environment = templates_in("templates")
    environment.filters.update(
        shown=shown,
        sort_key=sort_key,
        readable=readable,
        address=quote,
        group=lambda name: group_of(name).replace(" ", "-"),
    )
    return environment
