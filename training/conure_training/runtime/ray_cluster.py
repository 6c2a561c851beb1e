"""Blocks of work on Ray, on a running cluster or on a local one that ends with the work."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from conure_core.errors import ConfigError, WorkerError

Block = TypeVar("Block")
Result = TypeVar("Result")
OBJECT_STORE_BYTES = 200 * 2**20
RETRIES = 5
"""Attempts for a block whose worker died. Limited, because a block may kill every worker."""
CONNECT_S = 5.0
UNREACHABLE = (
    "no Ray cluster answers at '{}'; expected HOST:PORT or auto, and `ray start --head` starts one"
)
BLOCKS_A_WORKER = 2
"""Running or queued: results that wait to be fetched must not fill the object store."""

# Ray reads these when it is imported and started. The second keeps a local cluster on the loopback
# address.
LOCAL_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def run_on_cluster(
    work: Callable[[Block], Result], blocks: Sequence[Block], workers: int, address: str
) -> Generator[tuple[Block, Result], None, None]:
    """Do blocks of work on Ray. A block whose worker died is done again elsewhere.

    Args:
        work: Called once a block, in a Ray worker with one CPU.
        blocks: What `work` takes, one at a time.
        workers: Processes of a local cluster; a running cluster uses its own CPUs.
        address: Of a running cluster, such as "10.0.0.1:6379" or "auto"; empty: a local one.

    Yields:
        (block, work(block)), each exactly once, in the order in which they end.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers at the address.
        WorkerError: A block's workers died more than `RETRIES` times.
    """
    with open_cluster(address, workers) as cluster:
        yield from cluster.run(work, blocks)


@contextmanager
def open_cluster(address: str, workers: int) -> Iterator["Cluster"]:
    """Connect to Ray for several rounds of blocks.

    Args:
        address: See `run_on_cluster`.
        workers: See `run_on_cluster`.

    Yields:
        The cluster; a local one ends with the block.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers at the address.
    """
    with _connect(address, workers) as ray:
        yield Cluster(ray)


class Cluster:
    """A connection to Ray."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_work_on_block)

    def run(
        self, work: Callable[[Block], Result], blocks: Sequence[Block]
    ) -> Generator[tuple[Block, Result], None, None]:
        """Do blocks of work, see `run_on_cluster`.

        Args:
            work: Called once a block.
            blocks: What it takes.

        Yields:
            (block, work(block)), in the order in which they end.

        Raises:
            WorkerError: A block's workers died more than `RETRIES` times.
        """
        ray = self._ray
        shared = ray.put(work)
        waiting = list(reversed(blocks))
        running: dict[Any, Block] = {}
        cpus = int(ray.cluster_resources().get("CPU", 1))
        slots = BLOCKS_A_WORKER * max(1, cpus)
        while waiting or running:
            while waiting and len(running) < slots:
                block = waiting.pop()
                running[self._remote.remote(shared, block)] = block
            (done, *_), _ = ray.wait(list(running))
            block = running.pop(done)
            yield block, _result(ray, done, block)


def _work_on_block(work: Callable[[Block], Result], block: Block) -> Result:
    return work(block)


def _result(ray: Any, reference: Any, block: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise WorkerError(
            f"the workers of {block} died {RETRIES + 1} times; last: {str(error).splitlines()[0]}"
        ) from error


@contextmanager
def _connect(address: str, workers: int) -> Iterator[Any]:
    """Connect to Ray; afterwards end a local cluster and remove its folder."""
    _check_reachable(address)
    # Not below out/: the paths of sockets must stay short.
    folder = None if address else tempfile.mkdtemp(prefix="conure-ray-")
    before = dict(os.environ)
    if not address:
        os.environ.update(LOCAL_ENVIRONMENT)
    try:
        ray = _import_ray()
        common = {"logging_level": "ERROR", "log_to_driver": False}
        if address:
            ray.init(address=address, **common)
        else:
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                **common,
            )
    except ConnectionError as error:
        raise ConfigError(UNREACHABLE.format(address)) from error
    finally:
        _restore(before)
    try:
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _check_reachable(address: str) -> None:
    """Refuse a HOST:PORT where nothing listens; Ray itself would try for five minutes."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(UNREACHABLE.format(address)) from error


def _restore(environment: dict[str, str]) -> None:
    for name in LOCAL_ENVIRONMENT:
        os.environ.pop(name, None)
        if name in environment:
            os.environ[name] = environment[name]


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            "engine=ray needs Ray; pip install 'conure[cluster]' brings it"
        ) from error
    return ray
