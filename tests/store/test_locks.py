"""Writers and removers of one scan keep out of each other's way."""

import os
import socket
import subprocess
import threading

import psutil
import pytest

from agg2exp_core.errors import StoreError
from agg2exp_core.store import locks
from agg2exp_core.store.locks import removing, writing


def marks(store):
    return store.root.children("at_work/s1")


def put_mark(store, pid, born, kind="writing", host=None, since="2020-01-01T00:00:00+00:00"):
    mark = locks.Mark(kind, since, host or socket.gethostname(), pid, born)
    store.root.put_json("at_work/s1/other.json", vars(mark))


def test_nothing_is_removed_while_somebody_writes(store):
    with writing(store.root, "s1"), writing(store.root, "s1"):
        with removing(store.root, "s1") as free:
            assert not free
        with removing(store.root, "s2") as free:
            assert free
    with removing(store.root, "s1") as free, removing(store.root, "s1") as twice:
        assert free
        assert not twice
    assert marks(store) == []


def test_a_writer_waits_for_a_remover(store):
    done = []

    def write():
        with writing(store.root, "s1"):
            done.append("written")

    with removing(store.root, "s1") as free:
        assert free
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.5)
        assert done == []
        done.append("removed")
    writer.join(20)
    assert done == ["removed", "written"]


def test_a_writer_does_not_wait_for_ever(store, monkeypatch):
    monkeypatch.setattr(locks, "_WAIT_S", 0.1)
    with (
        removing(store.root, "s1"),
        pytest.raises(StoreError, match="on their way out"),
        writing(store.root, "s1"),
    ):
        raise AssertionError
    assert marks(store) == []


def test_marks_of_processes_that_are_gone_do_not_count(store):
    with subprocess.Popen(["true"]) as process:
        pass
    for pid, born in ((process.pid, 0.0), (os.getpid(), psutil.Process().create_time() - 100)):
        put_mark(store, pid, born)
        with removing(store.root, "s1") as free:
            assert free
        assert marks(store) == []
    put_mark(store, os.getpid(), psutil.Process().create_time())
    with removing(store.root, "s1") as free:
        assert not free


def test_marks_of_other_machines_count_for_a_day(store):
    put_mark(store, 1, 0.0, host="elsewhere")
    with removing(store.root, "s1") as free:
        assert free
    put_mark(store, 1, 0.0, host="elsewhere", since=locks.now())
    with removing(store.root, "s1") as free:
        assert not free
    assert marks(store) == ["other.json"]


def test_one_reduces_at_a_time_and_who_is_gone_is_not_waited_for(store, monkeypatch):
    monkeypatch.setattr(locks, "_SETTLE_S", 0.01)
    with locks.reducing(store.root):
        monkeypatch.setattr(locks, "_WAIT_S", 0.3)
        with pytest.raises(StoreError, match="one run at a time"), locks.reducing(store.root):
            pass
    assert store.root.get_json("reducing.json") is None
    gone = locks.Mark("reducing", "2999-01-01T00:00:00+00:00", socket.gethostname(), 1, 0.0)
    store.root.put_json("reducing.json", vars(gone) | {"run": "x"})
    with locks.reducing(store.root):
        assert store.root.get_json("reducing.json")["pid"] == os.getpid()
    elsewhere = locks.Mark("reducing", "2026-01-01T00:00:00+00:00", "elsewhere", 1, 0.0)
    store.root.put_json("reducing.json", vars(elsewhere) | {"run": "x"})
    with locks.reducing(store.root):
        pass
