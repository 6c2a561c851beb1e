"""Torch modules as ONNX graphs, in float64."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def write_onnx(
    graph: nn.Module,
    file: Path,
    examples: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
) -> None:
    """Write one self-contained ONNX file with a free batch size.

    Args:
        graph: A module.
        file: The file.
        examples: Its inputs by name, in order, n rows each.
        outputs: Names of the outputs, in order.
    """
    names = list(examples)
    example = []
    for array in examples.values():
        two_rows = np.resize(array, (2, *array.shape[1:]))
        example.append(torch.from_numpy(two_rows))
    batch = torch.export.Dim("batch")
    with quiet():
        torch.onnx.export(
            graph,
            tuple(example),
            str(file),
            input_names=names,
            output_names=outputs,
            dynamic_shapes={key: {0: batch} for key in names},
            dynamo=True,
            custom_translation_table=float64_operators(),
            external_data=False,
            verbose=False,
        )


def float64_operators() -> dict[Any, Any]:
    """Translate to ONNX the operators that ONNX Runtime itself computes in float32 only."""
    from onnxscript import opset18 as op

    def _cast(value: Any, x: Any) -> Any:
        return op.CastLike(value, x)

    def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        """max(x, 0) + log(1 + exp(-|beta x|)) / beta: never overflows, so it needs no threshold."""
        scaled = op.Mul(x, _cast(beta, x))
        tail = op.Log(op.Add(_cast(1.0, x), op.Exp(op.Neg(op.Abs(scaled)))))
        return op.Div(op.Add(op.Relu(scaled), tail), _cast(beta, x))

    def _atanh(x: Any) -> Any:
        one = _cast(1.0, x)
        ratio = op.Div(op.Add(one, x), op.Sub(one, x))
        return op.Mul(_cast(0.5, x), op.Log(ratio))

    return {torch.ops.aten.softplus.default: _softplus, torch.ops.aten.atanh.default: _atanh}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, torch's exporter logs errors only, and warnings are off."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
