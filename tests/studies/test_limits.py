"""What a job in a process of its own may use."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest

from mtl_cli.studies.executors.limits import Limits, limit
from mtl_cli.studies.executors.processes import process_context


def threads(cores: int) -> set[int]:
    """Return how many threads the libraries take once a process is held to some cores."""
    limit(Limits(cores))
    import torch
    from threadpoolctl import threadpool_info

    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}


@pytest.mark.parametrize("cores", [1, 2])
def test_cores_hold_for_libraries_that_were_imported_before_the_fork(cores: int) -> None:
    with ProcessPoolExecutor(1, process_context()) as pool:
        assert pool.submit(threads, cores).result() == {cores}
