"""The store: attributions, predictions and matrices in Zarr, on a local path or on S3.

One root and one model per store. `Store` knows the model, the labels, the scans, what failed and the
matrices over scans; `ScanStore` holds one scan as an OME-Zarr image with its prediction, its regions and
one array per label and class; `Rows` are what scans add to the matrices. What is visible is complete:
metadata are written last. Python's and any other Zarr v3 reader opens all of it.
"""

from agg2exp_core.store.keys import check_name, identity
from agg2exp_core.store.matrices import Matrices, MatricesWriter
from agg2exp_core.store.rows import Rows
from agg2exp_core.store.scan import ScanStore
from agg2exp_core.store.store import Failure, Label, Store, is_store, open_store
from agg2exp_core.store.units import DROPPED, MADE_BY, Unit, UnitWriter, WriteQueue

__all__ = [
    "DROPPED",
    "MADE_BY",
    "Failure",
    "Label",
    "Matrices",
    "MatricesWriter",
    "Rows",
    "ScanStore",
    "Store",
    "Unit",
    "UnitWriter",
    "WriteQueue",
    "check_name",
    "identity",
    "is_store",
    "open_store",
]
