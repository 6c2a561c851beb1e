"""The product by oneDNN is the same product: values, gradients, gradients of gradients, and none of
it in an export.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import conure_training.nn.onednn_linear as module
from conure_training.nn.onednn_linear import LEAST_PRODUCTS, Linear, linear

torch.set_num_threads(1)
ROWS, INPUTS, OUTPUTS = 96, 100, 120


@pytest.fixture(autouse=True)
def products(monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of the inputs that oneDNN was given."""
    taken = []
    inner = module._product

    def counted(x: Tensor, *rest) -> Tensor:
        taken.append(tuple(x.shape))
        return inner(x, *rest)

    monkeypatch.setattr(module, "_product", counted)
    monkeypatch.setattr(module, "FASTER", module.AVAILABLE)  # whatever this processor is
    return taken


def operands(rows: int = ROWS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, INPUTS), (OUTPUTS, INPUTS), (OUTPUTS,))
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


def plain(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    product = functional.linear(x, weight, bias)
    return torch.relu(product) if relu else product


@pytest.mark.skipif(
    not module.AVAILABLE, reason="torch is built without oneDNN: plain products are all there is"
)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_bias", [True, False])
def test_values_and_gradients_are_those_of_torch_up_to_rounding(relu, with_bias, products) -> None:
    assert ROWS * INPUTS * OUTPUTS >= LEAST_PRODUCTS
    found, wanted = [], []
    for kept, product in ((found, linear), (wanted, plain)):
        x, weight, bias = operands()
        y = product(x, weight, bias if with_bias else None, relu)
        inputs = [x, weight, bias] if with_bias else [x, weight]
        kept += [y, *torch.autograd.grad(y.square().sum(), inputs)]
    assert len(products) == 3  # forward, and the gradients of x and W
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=1e-4, atol=1e-3 * float(theirs.abs().max().detach())
        )


def test_a_gradient_can_be_differentiated_once_more() -> None:
    second = []
    for product in (linear, plain):
        x, weight, bias = operands()
        (first,) = torch.autograd.grad(
            product(x, weight, bias, True).square().sum(), x, create_graph=True
        )
        second.append(torch.autograd.grad(first.square().sum(), weight)[0])
    torch.testing.assert_close(
        second[0], second[1], rtol=1e-3, atol=1e-3 * float(second[1].abs().max())
    )


def test_function_transforms_and_small_products_are_torch_own(products) -> None:
    x, weight, bias = (operand.detach() for operand in operands())
    jacobian = torch.func.jacrev(lambda row: linear(row.expand(ROWS, -1), weight, bias)[0])(x[0])
    torch.testing.assert_close(jacobian, weight)
    linear(x[:1], weight, bias)
    linear(x.double(), weight.double(), bias.double())
    assert products == []


def test_an_exported_layer_holds_no_operator_of_onednn() -> None:
    program = torch.export.export(Linear(INPUTS, OUTPUTS), (torch.randn(ROWS, INPUTS),))
    assert "mkldnn" not in str(program.graph)


def test_the_same_weights_load_into_either_layer() -> None:
    ours, theirs = Linear(INPUTS, OUTPUTS), torch.nn.Linear(INPUTS, OUTPUTS)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(ROWS, INPUTS)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
