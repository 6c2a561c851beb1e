"""Where blocks of episodes are collected: in this process, in processes, or on Ray.

The workers live as long as the run, so that each makes its environments once. A block whose worker
died is done again by another one, see `collection`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from conure_core.errors import WorkerError
from conure_core.runtime.processes import one_thread, tied_pool, worker_count
from conure_training.rl.on_policy.collection import Block, CollectBlock, close_environments
from conure_training.rl.on_policy.trajectories import Trajectory
from conure_training.runtime.parallel import Engine
from conure_training.runtime.ray_cluster import open_cluster

RETRIES = 5
"""Times that a block is begun again after its worker died; a block may kill every worker."""


class Workers(Protocol):
    """Collects blocks."""

    def collect(self, work: CollectBlock, blocks: Sequence[Block]) -> list[list[Trajectory]]:
        """Collect every block once.

        Args:
            work: By which policy.
            blocks: What to collect.

        Returns:
            Each block's episodes, in the order of the blocks.

        Raises:
            WorkerError: A block's workers died again and again.
        """
        ...


@contextmanager
def open_workers(engine: Engine) -> Iterator[Workers]:
    """Open the workers of a run.

    Args:
        engine: Which; processes with workers=1 are this process alone.

    Yields:
        The workers, which end with the block.
    """
    if engine.name == "ray":
        with open_cluster(engine.ray_address, worker_count(engine.workers)) as cluster:
            yield _OnCluster(cluster)
    elif engine.workers == 1:
        try:
            yield _Here()
        finally:
            close_environments()
    else:
        pools = _InProcesses(worker_count(engine.workers))
        try:
            yield pools
        finally:
            pools.close()


class _Here:
    """This process."""

    def collect(self, work: CollectBlock, blocks: Sequence[Block]) -> list[list[Trajectory]]:
        return [work(block) for block in blocks]


class _OnCluster:
    """Ray, whose tasks begin again where a worker died."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    def collect(self, work: CollectBlock, blocks: Sequence[Block]) -> list[list[Trajectory]]:
        done = dict(self._cluster.run(work, blocks))
        return [done[block] for block in blocks]


class _InProcesses:
    """A pool of processes, replaced by a new one when one of them died."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def collect(self, work: CollectBlock, blocks: Sequence[Block]) -> list[list[Trajectory]]:
        done: dict[Block, list[Trajectory]] = {}
        for _ in range(1 + RETRIES):
            missing = [block for block in blocks if block not in done]
            if not missing:
                break
            self._try(work, missing, done)
        if len(done) < len(blocks):
            raise WorkerError(
                f"workers died {1 + RETRIES} times in a row, perhaps for want of memory; give fewer"
                " workers and run the same command again"
            )
        return [done[block] for block in blocks]

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _try(
        self, work: CollectBlock, blocks: Sequence[Block], done: dict[Block, list[Trajectory]]
    ) -> None:
        """Add to `done` what is collected until a process dies."""
        with one_thread():
            if self._pool is None:
                self._pool = tied_pool(self._count)
            try:
                futures = {block: self._pool.submit(work, block) for block in blocks}
                for block, future in futures.items():
                    done[block] = future.result()
            except BrokenProcessPool:
                for block, future in futures.items():
                    if future.done() and future.exception() is None:
                        done[block] = future.result()
                self.close()
