"""Mutated scans, read in a process of its own with little memory: `python -m tests.faults.fuzzing FIRST N`.

One line of JSON a case, and a summary. A case that ends this process is the one after the last line.
"""

from __future__ import annotations

import gzip
import json
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from agg2exp_core.dicom import Rules, files_in, group, quiet, read_headers, stack
from agg2exp_core.dicom.references import source_images
from agg2exp_core.errors import Agg2ExpError
from agg2exp_core.volumes import read_volume
from tests.dicom.making import stored_values, write_series

MOST_BYTES = 96 << 20
"""Of memory that a case may take beyond what the process holds when it starts."""
MOST_S = 10
"""Seconds of a processor until a case counts as hanging: the timer then ends the process."""

N_SLICES = 16
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless)
FOREIGN = ("MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm")
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
WORDS = (b"\0\0", b"\xff\xff", b"\0\x80", b"\x80\0", b"\xff\x7f", b"\x7f\xff", b"\x01\0", b"\0\x01")
REFERENCE = {"FrameOfReferenceUID": "1.2.9", "AdmittingDiagnosesDescription": "none"}
"""What objects that refer to a series need of it, and what they only copy."""
NUMBERS = (0.0, -1.0, 1e-30, 1e30, -1e30, float("nan"), float("inf"), -float("inf"), 3.0, 65536.0)

Mutation = Callable[[bytearray, np.random.Generator], None]


def flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    """Turn up to 16 bits anywhere."""
    for _ in range(rng.integers(1, 17)):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))


def flip_early(content: bytearray, rng: np.random.Generator) -> None:
    """Turn up to 4 bits of the header."""
    for _ in range(rng.integers(1, 5)):
        content[rng.integers(min(len(content), 1200))] ^= 1 << int(rng.integers(8))


def truncate(content: bytearray, rng: np.random.Generator) -> None:
    """Cut the end off."""
    del content[rng.integers(len(content)) :]


def cut_out(content: bytearray, rng: np.random.Generator) -> None:
    """Lose some bytes in the middle."""
    start = int(rng.integers(len(content)))
    del content[start : start + int(rng.integers(1, 64))]


def repeat(content: bytearray, rng: np.random.Generator) -> None:
    """Have some bytes twice."""
    start = int(rng.integers(len(content)))
    content[start:start] = content[start : start + int(rng.integers(1, 4096))]


def extreme_words(content: bytearray, rng: np.random.Generator) -> None:
    """Set words of the header to extremes: sizes, lengths and types among them."""
    for _ in range(rng.integers(1, 4)):
        start = 2 * int(rng.integers(min(len(content), 1200) // 2 - 2))
        content[start : start + 2] = WORDS[rng.integers(len(WORDS))]


def extreme_numbers(content: bytearray, rng: np.random.Generator) -> None:
    """Set a real number of a NIfTI header to an extreme."""
    start = int(rng.choice([*range(76, 124, 4), *range(256, 328, 4)]))
    content[start : start + 4] = struct.pack("<f", NUMBERS[rng.integers(len(NUMBERS))])


def extreme_image(content: bytearray, rng: np.random.Generator) -> None:
    """Set a word of the header of a JPEG or JPEG 2000 image to an extreme: its own width and height, say."""
    starts = [start for start in map(content.find, (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")) if start > 0]
    if starts:
        start = min(starts) + int(rng.integers(2, 60))
        content[start : start + 2] = WORDS[rng.integers(len(WORDS))]


def junk(content: bytearray, rng: np.random.Generator) -> None:
    """Overwrite a stretch with noise."""
    start, n = int(rng.integers(len(content))), int(rng.integers(1, 256))
    content[start : start + n] = rng.bytes(n)


ANYWHERE: tuple[Mutation, ...] = (flip_bits, flip_early, truncate, cut_out, repeat, extreme_words, junk)


def nifti_seeds() -> Iterator[bytes]:
    """Small scans of different types, orders and versions."""
    values = np.linspace(-1000, 1000, 9 * 8 * 7).reshape(9, 8, 7)
    for kind, dtype in (
        (nib.Nifti1Image, "<i2"),
        (nib.Nifti1Image, "<f4"),
        (nib.Nifti1Image, ">f8"),
        (nib.Nifti2Image, "<i4"),
    ):
        image = kind(values.astype(dtype), np.diag([-2.0, 1.5, 3.0, 1.0]))
        image.header.set_slope_inter(1, 0)
        yield image.to_bytes()


def mutate(content: bytes, rng: np.random.Generator, more: tuple[Mutation, ...] = ()) -> bytes:
    """Apply one or two mutations."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        if len(changed) > 400:
            choices = (*ANYWHERE, *more)
            choices[rng.integers(len(choices))](changed, rng)
    return bytes(changed)


def nifti_case(rng: np.random.Generator, seeds: list[bytes], folder: Path) -> Path:
    """A mutated NIfTI file: mutated before it is compressed, after, or not compressed."""
    content = seeds[rng.integers(len(seeds))]
    packed = rng.integers(3)
    if packed == 0:
        content = mutate(gzip.compress(content, mtime=0), rng)
    else:
        content = mutate(content, rng, (extreme_numbers,) * 4)
        content = gzip.compress(content, mtime=0) if packed == 1 else content
    path = folder / ("scan.nii" if packed == 2 else "scan.nii.gz")
    path.write_bytes(content)
    return path


def dicom_seed(folder: Path, syntax: str) -> Path:
    """A small series in one transfer syntax."""

    def change(z: int, dataset: FileDataset) -> None:
        if syntax in (RLELossless, JPEG2000Lossless):
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax

    return write_series(folder, stored_values(N_SLICES, 36, 34), change, **REFERENCE)


def foreign_seed(folder: Path, name: str) -> Path:
    """A series of the pixels of a file that comes with pydicom, coded as nothing here codes them."""
    with quiet():
        theirs = dcmread(TEST_FILES / name)

    def change(z: int, dataset: FileDataset) -> None:
        for keyword in ("Rows", "Columns", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
            setattr(dataset, keyword, theirs[keyword].value)
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = theirs.file_meta.TransferSyntaxUID

    return write_series(folder, stored_values(N_SLICES), change, **REFERENCE)


def dicom_case(rng: np.random.Generator, seeds: list[Path], folder: Path) -> Path:
    """A series of which one file is mutated."""
    seed = seeds[rng.integers(len(seeds))]
    chosen = rng.integers(N_SLICES)
    for n, path in enumerate(sorted(seed.iterdir())):
        content = path.read_bytes()
        (folder / path.name).write_bytes(
            mutate(content, rng, (extreme_image,) * 4) if n == chosen else content
        )
    return folder


def limit_memory() -> None:
    """Let this process take no more than `MOST_BYTES` beyond what it has."""
    held = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize")
    )
    most = int(held.split()[1]) * 1024 + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def read_all(path: Path) -> None:
    """Read a scan and, of a series, what results that refer to it read besides."""
    read_volume(path)
    if path.is_dir():
        headers, _ = read_headers(files_in(path))
        for series in group(headers):
            source_images(stack(series, Rules()))


def fate(path: Path) -> str:
    """Read a scan: ``read``, the error as users see it, or what must not be."""
    try:
        read_all(path)
    except Agg2ExpError as error:
        clear = error.got and error.allowed and error.remedy and len(str(error)) < 1000
        memory = isinstance(error.__cause__, MemoryError)
        return "out of memory" if memory else "refused" if clear else f"unclear: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def timed_fate(path: Path) -> tuple[str, float]:
    """Read a scan; return its fate and the processor's seconds, unless the timer ends this process."""
    signal.setitimer(signal.ITIMER_PROF, MOST_S)
    started = time.process_time()
    how = fate(path)
    seconds = time.process_time() - started
    signal.setitimer(signal.ITIMER_PROF, 0)
    return how, seconds


def main(first: int, n_cases: int) -> None:
    """Read cases; print how each fared."""
    niftis = list(nifti_seeds())
    with tempfile.TemporaryDirectory() as scratch:
        series = [dicom_seed(Path(scratch, syntax), syntax) for syntax in SYNTAXES]
        series += [foreign_seed(Path(scratch, name), name) for name in FOREIGN]
        seeds = [Path(scratch, f"whole-{n}.nii") for n in range(len(niftis))]
        for path, content in zip(seeds, niftis, strict=True):
            path.write_bytes(content)
        assert all(fate(path) == "read" for path in (*series, *seeds))
        limit_memory()
        counts: Counter[tuple[str, str]] = Counter()
        slowest = 0.0
        for case in range(first, first + n_cases):
            rng = np.random.default_rng([case, 20])
            kind = "nifti" if case % 2 else "dicom"
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                make = (nifti_case, niftis) if kind == "nifti" else (dicom_case, series)
                path = make[0](rng, make[1], Path(folder))
                how, seconds = timed_fate(path)
            counts[kind, how] += 1
            slowest = max(slowest, seconds)
            told = {"case": case, "kind": kind, "fate": how, "seconds": seconds}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    said = ", ".join(f"{n} {kind} {how}" for (kind, how), n in sorted(counts.items()))
    sys.stderr.write(f"{said}; slowest {slowest:.2f} s of a processor\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
