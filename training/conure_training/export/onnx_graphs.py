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
    golden: Mapping[str, NDArray[Any]],
    third: str,
    outputs: Sequence[str],
) -> None:
    """One self-contained ONNX file with a free batch size. torch's exporter is kept from chatting
    on the console.
    """
    names = ["image", "proprio", third]
    arrays = [
        golden["image"],
        golden["proprio"],
        np.tanh(golden["noise"]),
    ]  # the third: a noise, and an action
    example = tuple(torch.from_numpy(np.resize(array, (2, *array.shape[1:]))) for array in arrays)
    batch = torch.export.Dim("batch")
    with quiet():
        torch.onnx.export(
            graph,
            example,
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
    """Translations to ONNX of what ONNX Runtime's own operators compute in float32 alone."""
    from onnxscript import opset18 as op

    def of(value: Any, x: Any) -> Any:
        return op.CastLike(value, x)

    def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
        """max(x, 0) + log(1 + exp(-|beta x|)) / beta: nothing overflows, so that no threshold is
        needed.
        """
        scaled = op.Mul(x, of(beta, x))
        tail = op.Log(op.Add(of(1.0, x), op.Exp(op.Neg(op.Abs(scaled)))))
        return op.Div(op.Add(op.Relu(scaled), tail), of(beta, x))

    def atanh(x: Any) -> Any:
        one = of(1.0, x)
        return op.Mul(of(0.5, x), op.Log(op.Div(op.Add(one, x), op.Sub(one, x))))

    return {torch.ops.aten.softplus.default: softplus, torch.ops.aten.atanh.default: atanh}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, torch's exporter logs errors alone, and nothing warns."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
