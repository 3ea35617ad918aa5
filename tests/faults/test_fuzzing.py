"""Mutated scans are read, or refused in one clear sentence: no crash, no hang, no room for what is not there.

``AGG2EXP_FUZZ_CASES=10000`` reads more of them; a case that failed is found again by its number.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest

N_CASES = int(os.environ.get("AGG2EXP_FUZZ_CASES", "200"))


def outcomes(first, n_cases):
    """How the cases fared; a process that ends before the last one was ended by the next case."""
    words = [sys.executable, "-m", "tests.faults.fuzzing", str(first), str(n_cases)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60 + n_cases)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (
        f"case {first + len(told)} ends its process: {done.returncode} {done.stderr[-2000:]}"
    )
    assert len(told) == n_cases
    return told


@pytest.mark.timeout(100 + N_CASES)
def test_mutated_scans():
    told = outcomes(0, N_CASES)
    bad = [case for case in told if case["fate"] not in ("read", "refused")]
    assert bad == []
    counts = Counter((case["kind"], case["fate"]) for case in told)
    for kind in ("nifti", "dicom"):  # mutations that always or never matter would test nothing
        assert counts[kind, "read"] > N_CASES // 20
        assert counts[kind, "refused"] > N_CASES // 20


FAULTY_READERS = """
import os
import tests.faults.fuzzing as fuzzing

fuzzing.MOST_S = 1
for name, read in {
    "reads": lambda path: None,
    "memory": lambda path: bytearray(2 * fuzzing.MOST_BYTES),
    "raises": lambda path: 1 / 0,
    "hangs": lambda path: [0 for _ in iter(int, 1) if False],
}.items():
    child = os.fork()
    if not child:
        fuzzing.read_all = read
        fuzzing.limit_memory()
        print(name, fuzzing.timed_fate(None)[0].split(":")[0], flush=True)
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_the_limits_hold():
    """A reader that takes too much memory or time, or crashes, is seen."""
    words = [sys.executable, "-c", FAULTY_READERS]
    said = subprocess.run(words, capture_output=True, text=True, timeout=110, check=True).stdout.splitlines()
    assert said == [
        *("reads read", "reads 0", "memory MemoryError", "memory 0"),
        *("raises ZeroDivisionError", "raises 0", f"hangs {-signal.SIGPROF}"),
    ]
