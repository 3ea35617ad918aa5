"""Keys and markers that several writers want at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from agg2exp_core.errors import StoreError, UsageError
from agg2exp_core.store import open_store
from agg2exp_core.store.root import S3Store
from agg2exp_core.store.units import WriteQueue
from tests.services.postgres import free_port


def test_of_many_writers_one_wins_a_key_and_all_know_it(store):
    for n in range(5):

        def claim(i, n=n):
            return store.root.claim_json(f"claim-{n}.json", {"winner": i})["winner"]

        with ThreadPoolExecutor(12) as pool:
            assert len(set(pool.map(claim, range(12)))) == 1


def test_a_claim_is_one_step(s3_uri, monkeypatch):
    """A writer that comes between the question and the write keeps what it wrote."""
    store = open_store(s3_uri, create=True)

    async def nothing(self, key):
        return False

    store.root.put_json("key.json", "first")
    monkeypatch.setattr(S3Store, "exists", nothing)
    assert store.root.claim_json("key.json", "second") == "first"


def test_a_server_that_is_away_for_seconds_is_asked_again(s3_uri, monkeypatch):
    """The default of three questions within three seconds would not be enough."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server._port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "9")
    threading.Timer(4, server.start).start()
    open_store(s3_uri, create=True).root.put_json("key.json", "late")
    assert open_store(s3_uri).root.get_json("key.json") == "late"
    server.stop()


@pytest.mark.parametrize("attempts", ["", "0", "ten"])
def test_attempts_that_are_no_number_are_refused(monkeypatch, attempts):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", attempts)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError, match=r"AWS_MAX_ATTEMPTS: .*1 or more"):
        open_store("s3://bucket/prefix")


@pytest.mark.parametrize(("status", "held"), [(501, "mine"), (409, "theirs"), (403, None)])
def test_what_a_server_may_answer_to_a_conditional_write(s3_uri, monkeypatch, status, held):
    """501: it has none. 409: another writer is at it, who then has the key. Anything else is an error."""
    store = open_store(s3_uri, create=True)
    plainly = S3FileSystem._pipe_file

    async def answer(self, path, data, mode="overwrite"):
        if mode == "overwrite":
            return await plainly(self, path, data)
        if status == 409:
            await plainly(self, path, b'"theirs"')
        told = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise OSError(status) from ClientError(told, "PutObject")

    monkeypatch.setattr(S3FileSystem, "_pipe_file", answer)
    if held is None:
        with pytest.raises(StoreError, match="can be read and written"):
            store.root.claim_json("key.json", "mine")
    else:
        assert store.root.claim_json("key.json", "mine") == held


def test_a_unit_that_two_runs_write_with_other_values_is_seen_by_nobody(store, values):
    """The first one's marker would stand over chunks of both."""
    with WriteQueue() as queue:
        old, new = (
            store.scan("s").unit_writer("label", "heart", values.shape, identity, queue)
            for identity in ("old", "new")
        )
        old.append(values)
        new.append(-values)
        new.finish({})
        with pytest.raises(StoreError, match="another run wrote at the same time"):
            old.finish({})
    assert store.scan("s").units("label") == {}


def test_a_unit_that_two_runs_write_alike_is_there_once(store, values):
    with WriteQueue() as queue:
        writers = [store.scan("s").unit_writer("label", "heart", values.shape, "same", queue) for _ in "ab"]
        for writer in writers:
            writer.append(values)
        units = [writer.finish({"seconds": n}) for n, writer in enumerate(writers)]
    assert len({unit.checksum for unit in units}) == 1
    assert store.scan("s").verify("label", "heart")
    np.testing.assert_array_equal(store.scan("s").attribution("label", "heart").compute(), values)
