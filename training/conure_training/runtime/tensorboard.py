"""A run's metrics for TensorBoard, which is imported only when it is used."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from conure_core.errors import ConfigError


class RunLog:
    """Scalars by environment step, as TensorBoard's event files."""

    def __init__(self, folder: Path | None, first_step: int) -> None:
        """Open the log.

        Args:
            folder: Where the event files go; None: nothing is written.
            first_step: Where a resumed run continues: later values of the interrupted run are
                discarded.

        Raises:
            ConfigError: TensorBoard is not installed.
        """
        self._writer = None if folder is None else _writer(folder, first_step)

    def write(self, metrics: Mapping[str, float | bool], step: int) -> None:
        """Add one value of each metric.

        Args:
            metrics: By name; "steps" is left out, because it is the horizontal axis.
            step: Environment steps so far.
        """
        if self._writer is None:
            return
        for name, value in metrics.items():
            if name != "steps":
                self._writer.add_scalar(name, float(value), step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "tensorboard=true needs tensorboard: pip install 'conure[training]', or make setup"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_step)
