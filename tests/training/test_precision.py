"""bfloat16: in training alone, where the processor has it, close to float32 and never handed on."""

import pytest
import torch
from torch import Tensor

from conure_sim.physics.arm_simulation import table_camera
from conure_training.nn.bfloat16 import computes_bfloat16
from conure_training.prior.encoder import SceneEncoder

torch.set_num_threads(1)


def seen(encoder: SceneEncoder) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (4, 48, 48, 3), dtype=torch.uint8, generator=generator)
    found = encoder.detect(image, torch.randn(4, 11, generator=generator))
    return torch.cat(
        [found.object_logit, found.position.flatten(1), found.colour.flatten(1)], dim=1
    )


@pytest.fixture
def encoder() -> SceneEncoder:
    torch.manual_seed(0)
    return SceneEncoder(table_camera(48), 11)


def test_only_a_learning_encoder_on_a_processor_with_bfloat16_uses_it(encoder, monkeypatch) -> None:
    found = {}
    for native in (False, True):
        monkeypatch.setattr(
            "conure_training.nn.bfloat16.computes_bfloat16", lambda device, native=native: native
        )
        encoder.train()
        found[native] = seen(encoder).detach()
        with torch.no_grad():
            assert torch.equal(seen(encoder), found[False])
        assert torch.equal(seen(encoder.eval()), found[False])
    difference = (found[True] - found[False]).abs().max()
    assert found[True].dtype == torch.float32
    assert 1e-6 < difference < 0.05


def test_weights_and_their_gradients_stay_float32(encoder, monkeypatch) -> None:
    monkeypatch.setattr("conure_training.nn.bfloat16.computes_bfloat16", lambda device: True)
    seen(encoder).square().sum().backward()
    gradients = [part.grad for part in encoder.parameters() if part.grad is not None]
    assert gradients
    assert all(
        gradient.dtype == torch.float32 and bool(gradient.isfinite().all())
        for gradient in gradients
    )


def test_the_processor_is_asked_not_guessed(monkeypatch) -> None:
    for has, expected in (
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: has)
        assert computes_bfloat16(torch.device("cpu")) is expected
    assert not computes_bfloat16(torch.device("meta"))
