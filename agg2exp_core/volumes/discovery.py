"""Which scans the arguments mean, and what they are called: names for paths and keys of a store."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agg2exp_core.dicom import holds_dicom
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.volumes.stamps import source_of

EXTENSIONS = (".nii.gz", ".nii")
LONGEST = 80
"""Letters of a name; with what is put before and after it, a file system takes it."""

_ALLOWED = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")


@dataclass(frozen=True)
class ScanRef:
    """A scan that was found and not yet read.

    Parameters
    ----------
    scan_id : str
        Its name in the store.
    path : Path
        Its file, or the folder of its DICOM series.
    """

    scan_id: str
    path: Path


_SAME_IN_EACH = ("ct", "mr", "mri", "pet", "image", "img", "scan", "volume")
"""Names of files that every scan's folder has, so that they tell no scan."""


def find_scans(
    arguments: Sequence[str | Path],
    scan_id: str | None = None,
    known: Callable[[str], str | None] | None = None,
) -> tuple[list[ScanRef], list[ScanError]]:
    """Find the scans that the arguments name.

    Parameters
    ----------
    arguments : sequence of str or Path
        Files, or folders: those mean the NIfTI files in them or, if there are none, the ``ct.nii.gz`` (or
        ``ct.nii``) of each of their folders and every folder in them, at any depth, that holds DICOM files.
        Hidden files are passed over.
    scan_id : str, optional
        Name of the scan where there is one only.
    known : callable, optional
        From the digest of a source (`source_of`) to the id that it keeps whatever lies beside it, or None.

    Returns
    -------
    scans : list of ScanRef
        In the order of the arguments, those of a folder by name.
    errors : list of ScanError
        One for each argument that names no scan.

    Raises
    ------
    UsageError
        If a scan is given twice, two scans end with one id, or `scan_id` is malformed or given for several.
    """
    paths: list[Path] = []
    errors: list[ScanError] = []
    for argument in arguments:
        try:
            paths.extend(_scans_of(Path(argument)))
        except ScanError as error:
            errors.append(error)
        except OSError as error:
            errors.append(_no_scan(Path(argument), f"a path that cannot be read ({error.strerror or error})"))
    if scan_id is None:
        names = _kept_names(paths, _names(paths, arguments), known)
        return [ScanRef(name, path) for name, path in zip(names, paths, strict=True)], errors
    check_scan_id(scan_id)
    if len(paths) > 1:
        raise UsageError(
            "--scan-id",
            got=f"one id for {len(paths)} scans",
            allowed="an id for a single scan",
            remedy="leave it out: each scan is then named by its path",
        )
    return [ScanRef(scan_id, path) for path in paths], errors


def scan_ids(paths: Sequence[Path]) -> list[str]:
    """Name scans by the shortest trailing part of their paths that tells them apart.

    Components that all paths end with are dropped (the file name without its extension is the last one; a
    single scan keeps it), then the fewest trailing components that make all different are joined by ``-``.
    Characters outside ``[A-Za-z0-9._-]`` become ``_``; names in other scripts than Latin end in a hash, and
    so do names with accents that would be one without them.

    Raises
    ------
    UsageError
        If a scan is given twice, or two end with one id.
    """
    _refuse_twins(_resolved(paths), paths, "is given twice")
    parts = [_components(path) for path in paths]
    while len(parts) > 1 and min(map(len, parts)) > 1 and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    longest = max(map(len, parts), default=0)
    # the fewest trailing components that tell all apart
    n_kept = next((n for n in range(1, longest) if len({p[-n:] for p in parts}) == len(parts)), longest)
    texts = ["-".join(p[-n_kept:]) for p in parts]
    ids = [safe_name(text) for text in texts]
    twins = {name for name, n in Counter(ids).items() if n > 1}
    ids = [
        _with_hash(text) if name in twins and not text.isascii() else name
        for name, text in zip(ids, texts, strict=True)
    ]
    _refuse_twins(ids, paths, "ends with the same scan id as")
    return ids


def _names(paths: Sequence[Path], arguments: Sequence[str | Path]) -> list[str]:
    """Name the scans; an only ``ct.nii.gz`` of a folder has the name that it will have beside others."""
    if len(paths) == 1:
        (path,) = paths
        above = [path.parent.parent, *([path.parent] if stem(path).lower() in _SAME_IN_EACH else [])]
        if any(Path(argument) in above for argument in arguments):
            return [safe_name(path.parent.resolve().name)]
    return scan_ids(paths)


def _kept_names(
    paths: Sequence[Path], names: Sequence[str], known: Callable[[str], str | None] | None
) -> list[str]:
    """Return the names, known ones in their place; a newcomer of such a name gets a longer one."""
    kept = [known(source_of(path)) for path in paths] if known else []
    taken = {name for name in kept if name is not None}
    if len(taken) < sum(name is not None for name in kept):  # one scan, known from two places: both given now
        first = {name: n for n, name in reversed(list(enumerate(kept)))}
        kept = [name if first[name] == n else None for n, name in enumerate(kept)]
    if not taken:
        return list(names)
    chosen = []
    for path, name, held in zip(paths, names, kept, strict=True):
        if held is None:
            parts = _components(path)
            longer = (safe_name("-".join(parts[-n:])) for n in range(1, len(parts) + 1))
            free = (candidate for candidate in (name, *longer) if candidate not in taken)
            held = next(free, None) or _numbered(name, taken)
            taken.add(held)
        chosen.append(held)
    return chosen


def _numbered(name: str, taken: Collection[str]) -> str:
    return next(free for n in itertools.count(2) if (free := safe_name(f"{name}-{n}")) not in taken)


def safe_name(text: str) -> str:
    """Return `text` with ``_`` for what is outside ``[A-Za-z0-9._-]`` and for a leading ``.`` or ``-``.

    One that is too long ends in a hash of the whole in place of the rest, one with letters of another script
    than Latin in such a hash too: nothing of them would be left to tell names apart.
    """
    name = _plain(text)
    return _with_hash(text) if len(name) > LONGEST or any(map(_is_of_another_script, text)) else name


def _plain(text: str) -> str:
    return re.sub(r"^_{2,}", "_", re.sub(r"[^A-Za-z0-9._-]|^[.-]", "_", text)) or "_"


def _with_hash(text: str) -> str:
    # one name, whichever way a file system writes its accents
    whole = unicodedata.normalize("NFC", text).encode(errors="surrogatepass")
    return f"{_plain(text).lstrip('_.')[: LONGEST - 17]}-{hashlib.sha256(whole).hexdigest()[:16]}".lstrip("-")


def _is_of_another_script(letter: str) -> bool:
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(("LATIN", "DIGIT"))


def check_scan_id(scan_id: str) -> str:
    """Return a scan id that the user chose.

    Raises
    ------
    UsageError
        If it cannot be a key of the store.
    """
    if not _ALLOWED.fullmatch(scan_id):
        raise UsageError(
            "--scan-id",
            got=f"{scan_id!r}",
            allowed=f"1 to {LONGEST} letters, digits, '.', '_' and '-', a letter or digit first",
            remedy=f"try {safe_name(scan_id).lstrip('_.-') or 'scan'}",
        )
    return scan_id


def nifti_files(folder: Path) -> list[Path]:
    """Return the NIfTI files directly in a folder, by name, without hidden ones."""
    with os.scandir(folder) as entries:  # tells most files from folders without asking for each
        names = [
            entry.name
            for entry in entries
            if entry.name.endswith(EXTENSIONS) and not entry.name.startswith(".") and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def stem(path: Path) -> str:
    """Return the name of a NIfTI file without its extension, or of a folder."""
    for extension in EXTENSIONS:
        if path.name.endswith(extension):
            return path.name.removesuffix(extension)
    return path.name if path.is_dir() else path.stem


def _scans_of(path: Path) -> list[Path]:
    if not path.exists():
        raise _no_scan(path, "nothing there")
    if not path.is_dir():
        return [path]
    found = nifti_files(path) or list(_below(path))
    if not found:
        n_entries = sum(1 for _ in path.iterdir())
        raise _no_scan(
            path,
            f"a folder of {n_entries} entries without NIfTI or DICOM files"
            if n_entries
            else "an empty folder",
        )
    return found


def _below(folder: Path) -> Iterator[Path]:
    if holds_dicom(folder):
        yield folder
    for child in sorted(folder.iterdir()):
        if child.name.startswith(".") or not child.is_dir():
            continue
        scans = [child / f"ct{extension}" for extension in EXTENSIONS]
        found = next((scan for scan in scans if scan.is_file()), None)
        if found is not None:
            yield found
        else:
            yield from (below for below in _folders(child) if holds_dicom(below))


def _folders(folder: Path) -> Iterator[Path]:
    for root, children, _ in os.walk(folder):
        children[:] = sorted(child for child in children if not child.startswith("."))
        yield Path(root)


def _no_scan(path: Path, got: str) -> ScanError:
    return ScanError(
        path,
        got=got,
        allowed="a NIfTI file, or a folder with NIfTI files, DICOM files, or folders with ct.nii.gz or DICOM",
        remedy="check the path for a typo",
    )


def _components(path: Path) -> tuple[str, ...]:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - a link keeps the name that was given
    return (*absolute.parts[1:-1], stem(absolute))


def _resolved(paths: Sequence[Path]) -> list[str]:
    """Return the paths without links; each folder is resolved once."""
    folders = {folder: folder.resolve() for folder in {path.parent for path in paths}}
    inside = [path.name not in ("", "..") and not path.is_symlink() for path in paths]
    return [
        os.path.join(folders[path.parent], path.name) if plain else str(path.resolve())  # noqa: PTH118
        for path, plain in zip(paths, inside, strict=True)
    ]


def _refuse_twins(keys: Sequence[str], paths: Sequence[Path], what: str) -> None:
    first: dict[str, Path] = {}
    for key, path in zip(keys, paths, strict=True):
        if key in first:
            raise UsageError(
                path,
                got=f"a scan that {what} ({first[key]}; {key})",
                allowed="each scan once, each with its own id",
                remedy="leave one out, or rename a folder",
            )
        first[key] = path
