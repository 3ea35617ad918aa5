"""What is installed here, what does not fit, and what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agg2exp.flows.server import embedded_server, state_folder
from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State
from agg2exp_core.errors import Agg2ExpError

app = command_app()

PROJECT = "agg2exp"
OPTIONAL_EXTRAS = ("report", "dicom")
MIN_MEMORY_GIB = 4.0
MIN_DISK_GIB = 2.0
KNOWN_TRAPS = {
    "fastapi": "with others the Prefect server does not start",
    "sqlalchemy": "with others schedules create no runs, and say so only in a log",
    "torch": "attributions are checked against this one",
    "zarr": "the store's layout is checked against this one",
    "dask": "writes into Zarr are checked against this one",
    "prefect": "the server's settings are checked against this one",
}
_GIB = 2**30


@dataclass(frozen=True)
class Check:
    """One finding.

    Parameters
    ----------
    name : str
        What was looked at.
    ok : bool or None
        False if something required fails, None if it is only worth knowing.
    detail : str
        What was found.
    remedy : str
        What to do about it; empty if nothing.
    """

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


@app.command()
def doctor(
    path: Annotated[
        str | None, typer.Argument(help="Store that should be writable; or a model, or scans, to look at.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model that the scans are for.")] = None,
    device: Annotated[str, typer.Option("--device", help="Where the model is tried.")] = "auto",
    deep: Annotated[bool, typer.Option("--deep", help="Start a server too.")] = False,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Check versions, devices, memory, folders and a store; or a model, scans, or scans for a model."""
    from agg2exp_cli.doctor_inputs import check_inputs

    inputs = None if path is None and model is None else check_inputs(path, model, device)
    checks = run_checks(path if inputs is None else None, state_dir=state, deep=deep) + (inputs or [])
    print_checks(checks)
    return exit_code(checks)


def run_checks(
    store_uri: str | None = None, state_dir: Path | str | None = None, *, deep: bool = False
) -> list[Check]:
    """Look at the installation, without the network unless the store is there.

    Parameters
    ----------
    store_uri : str, optional
        A store that is to be written; an empty one is made where there is none.
    state_dir : path, optional
        See `agg2exp.flows.server.state_folder`.
    deep : bool
        Start a Prefect server as well, which takes seconds.
    """
    state = state_folder(state_dir)
    checks = [
        Check("python", True, f"{platform.python_version()} on {platform.platform()}"),
        check_packages(requirements()),
        *(check_extra(extra) for extra in OPTIONAL_EXTRAS),
        *check_devices(),
        check_memory(),
        check_state(state),
        check_disk(state),
    ]
    if store_uri is not None:
        checks.append(check_store(store_uri))
    if deep:
        checks.append(check_server(state))
    return checks


def exit_code(checks: Iterable[Check]) -> int:
    """Return 1 if something required fails, else 0."""
    return int(any(check.ok is False for check in checks))


def print_checks(checks: Iterable[Check], console: Console | None = None) -> None:
    """Print the findings as a table."""
    table = Table("", "what", "found", "what to do")
    marks = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[yellow]note[/]"}
    for check in checks:
        table.add_row(marks[check.ok], check.name, escape(check.detail), escape(check.remedy))
    (console or Console()).print(table)


def requirements() -> list[str]:
    """Return what the project asks for; itself, if it is not installed."""
    try:
        return importlib.metadata.requires(PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return [PROJECT]


def unmet(wanted: Iterable[str], extra: str = "") -> list[str]:
    """Return a line for every requirement of an extra ("" for none) that the environment does not meet."""
    lines = []
    for requirement in map(Requirement, wanted):
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        if extra and (marker is None or marker.evaluate({"extra": ""})):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version.partition("+")[0], prereleases=True):
            reason = KNOWN_TRAPS.get(requirement.name.lower(), "other versions are not checked")
            lines.append(f"{requirement.name} is {version}, wanted {requirement.specifier} ({reason})")
    return lines


def check_packages(wanted: Iterable[str]) -> Check:
    """Compare what is installed with what the project asks for."""
    lines = unmet(wanted)
    if lines:
        remedy = "install again with the project's constraints: pip install -c constraints.txt ."
        return Check("packages", False, "; ".join(lines), remedy)
    shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in KNOWN_TRAPS)
    return Check("packages", True, f"all as asked for: {shown}")


def check_extra(extra: str) -> Check:
    """Tell whether an optional extra is installed."""
    lines = unmet(requirements(), extra)
    if lines:
        return Check(f"extra {extra}", None, "; ".join(lines), f"pip install '{PROJECT}[{extra}]' if wanted")
    return Check(f"extra {extra}", True, "installed")


def check_devices() -> list[Check]:
    """List the CUDA devices: card, driver, memory, and what they can compute in; or the CPU's threads."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Check("device", False, f"torch cannot be imported: {error}", "install it again")]
    if not torch.cuda.is_available():
        detail = f"no CUDA device; the CPU with {torch.get_num_threads()} of {os.cpu_count()} threads"
        if not (driver := gpu_driver()):
            return [Check("device", True, detail)]
        detail += f"; a GPU is here, with driver {driver}, that PyTorch {torch.__version__} cannot use"
        return [Check("device", None, detail, "install the PyTorch of this driver's CUDA, or a newer driver")]
    return [_check_gpu(index) for index in range(torch.cuda.device_count())]


def _check_gpu(index: int) -> Check:
    """Compute on a GPU, and tell what it is."""
    import torch

    found = torch.cuda.get_device_properties(index)
    name = f"device cuda:{index}"
    card = f"{found.name}, driver {gpu_driver() or 'unknown'}, CUDA {torch.version.cuda}"
    try:
        torch.ones(8, device=f"cuda:{index}").sum().item()
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        remedy = "install a PyTorch that is built for this card, and see that nobody else holds all of it"
        return Check(name, False, f"{card}: {first}", remedy)
    rounded = ["float16", *["tf32", "bfloat16"] * (found.major >= 8)]  # from Ampere on
    precision = f"float32 without TF32, and with --precision {', '.join(rounded)}"
    return Check(name, True, f"{card}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free; {precision}")


def gpu_driver() -> str:
    """Return the version of the GPU's driver, empty where none is found."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        return told[0] if told else ""
    return ""


def check_memory() -> Check:
    """Show the memory, and note when it is tight for a whole scan."""
    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    tight = memory.available < MIN_MEMORY_GIB * _GIB
    remedy = f"below {MIN_MEMORY_GIB:.0f} GiB large scans may not fit: close other programs" if tight else ""
    return Check("memory", None if tight else True, detail, remedy)


def check_disk(folder: Path) -> Check:
    """Show the space left where the state folder is."""
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    tight = free < MIN_DISK_GIB * _GIB
    remedy = f"keep {MIN_DISK_GIB:.0f} GiB free" if tight else ""
    return Check("disk", None if tight else True, f"{free / _GIB:.1f} GiB free for {folder}", remedy)


def check_state(folder: Path) -> Check:
    """Write into the state folder, or where it would be made."""
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        remedy = "name another with --state or the variable AGG2EXP_HOME"
        return Check("state folder", False, f"{folder} cannot be written: {error.strerror}", remedy)
    return Check("state folder", True, f"{folder} can be written")


def check_store(uri: str) -> Check:
    """Open a store for writing, making it if there is none."""
    from agg2exp_core.store import open_store

    try:
        open_store(uri, create=True)
    except Agg2ExpError as error:
        return Check("store", False, f"{error.where}: {error.got}", error.remedy)
    return Check("store", True, f"{uri} can be written")


def check_server(state: Path) -> Check:
    """Start and stop a Prefect server on a state folder, or reach the one that PREFECT_API_URL names."""
    begin = time.monotonic()
    try:
        with embedded_server(state) as server:
            detail = f"{server.ui_url} answered after {time.monotonic() - begin:.1f} s"
    except Agg2ExpError as error:
        return Check("prefect server", False, f"{error.where}: {error.got}", error.remedy)
    return Check("prefect server", True, detail)
