"""What the robot loads is what was trained, and a bundle is there whole or not at all."""

import contextlib
import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from conure_core.config.loader import load_config
from conure_core.contract.bundle import GOLDEN, INVERSE, POLICY, SPEC, load_bundle
from conure_core.errors import BundleError, ConureError, DataError, SpecMismatch
from conure_core.robot.description import load_robot
from conure_training.export import bundle_writer, export
from conure_training.export.bundle_writer import export_graph
from conure_training.export.parity import Parity, onnx_parity
from conure_training.nn.gaussian_policy import GaussianPolicy
from conure_training.policies.graph import PolicyGraph
from conure_training.prior.flow import ConditionalRealNVP
from conure_training.rl import train

torch.set_num_threads(1)
CONTRACT = load_robot("wx250s").contract(image_size_px=48)
FEATURES = 40


class Encoder(nn.Module):
    """A small CNN with its normalization inside, and with layers that differ between training and
    evaluation.
    """

    def __init__(self) -> None:
        super().__init__()
        strided = (
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 4, 1),
            nn.ReLU(),
        )
        self.pixels = nn.Sequential(*strided, nn.Flatten())
        self.joined = nn.Sequential(nn.Linear(16 * 36 + 16, FEATURES), nn.Dropout(0.5), nn.Tanh())

    def forward(self, image: Tensor, proprio: Tensor) -> Tensor:
        pixels = self.pixels(image.permute(0, 3, 1, 2).to(proprio.dtype) / 255.0 - 0.5)
        return self.joined(torch.cat([pixels, proprio], -1))


class Policy(GaussianPolicy):
    """Not N(0, I) any more."""

    def __init__(self) -> None:
        super().__init__(FEATURES, 7, hidden_dims=())
        self.trunk[-1].reset_parameters()


def observations(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    return {"image": image, "proprio": rng.standard_normal((count, 16), dtype=np.float32)}


def precise_flow() -> ConditionalRealNVP:
    """Couplings that are no longer the identity, and as narrow as those of precise
    demonstrations.
    """
    flow = ConditionalRealNVP(7, FEATURES, hidden_dims=(32, 32))
    for coupling in flow.couplings:
        nn.init.normal_(coupling.last.weight, std=0.05)
    nn.init.normal_(flow.affine.weight, std=0.05)
    with torch.no_grad():
        flow.affine.bias[:7] = -2.5
    return flow


torch.manual_seed(0)
MODULES = {"encoder": Encoder(), "flow": precise_flow(), "policy": Policy()}


def do_export(path: Path, **changes):
    arguments = {
        "contract": CONTRACT,
        "golden_observations": observations(8),
        "training_config": {"seed": 0},
    }
    modules = {name: changes.pop(name, module) for name, module in MODULES.items()}
    return export_graph(PolicyGraph(**modules), path=path, **{**arguments, **changes})


@pytest.fixture(scope="module")
def export_process(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """MODULES exported by a process of its own, whose console can be looked at; `args[-1]` is the
    bundle.
    """
    path = tmp_path_factory.mktemp("exported") / "bundle"
    code = (
        "import sys; sys.path[:0] = sys.argv[1:-1]; from pathlib import Path\n"
        "from test_export import do_export; do_export(Path(sys.argv[-1]))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), *sys.path, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def exported(export_process: subprocess.CompletedProcess[str]) -> Path:
    return Path(export_process.args[-1])


@pytest.fixture
def graphs_of_the_first(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the seconds that torch's exporter takes: every graph is the one exported once from
    MODULES.
    """
    monkeypatch.setattr(
        bundle_writer,
        "write_onnx",
        lambda graph, file, *rest: shutil.copy(exported / file.name, file),
    )


# --- the same numbers
# -------------------------------------------------------------------------------------------------


def test_exported_policy_agrees_with_torch_on_a_thousand_observations(exported):
    parity = onnx_parity(
        load_bundle(exported, CONTRACT), PolicyGraph(**MODULES), observations(1000, seed=1)
    )
    assert parity.count == 1000
    assert parity.action <= 1e-6
    assert parity.log_likelihood <= 1e-5
    assert parity.inverse_log_likelihood <= 1e-5
    assert parity.round_trip <= 1e-4


def test_parity_sees_a_policy_that_is_not_the_exported_one(exported):
    other = PolicyGraph(**{**MODULES, "policy": Policy()})
    parity = onnx_parity(load_bundle(exported), other, observations(20))
    assert parity.action > 1e-3 and parity.z > 1e-2


def test_noise_moves_z_by_the_policys_standard_deviation(exported):
    bundle, now = (
        load_bundle(exported),
        {name: array[0] for name, array in observations(1, seed=5).items()},
    )
    with torch.inference_mode():
        encoder = copy.deepcopy(MODULES["encoder"]).eval()
        mean, std = MODULES["policy"](
            encoder(*(torch.from_numpy(array)[None] for array in now.values()))
        )
    np.testing.assert_allclose(bundle.act(now).z, mean[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(bundle.act(now, np.ones(7)).z, (mean + std)[0].numpy(), atol=1e-5)


def test_inverse_gives_the_latent_and_the_log_likelihood_that_act_gave(exported):
    bundle, now = (
        load_bundle(exported),
        {name: array[0] for name, array in observations(1, seed=6).items()},
    )
    output = bundle.act(now, 0.5 * np.ones(7))
    assert np.abs(output.action).max() < 1.0
    z, log_likelihood = bundle.invert(now, output.action)
    np.testing.assert_allclose(z, output.z, atol=1e-4)
    assert log_likelihood == pytest.approx(output.log_likelihood, abs=1e-3)


def test_a_prior_alone_is_exported_with_z_equal_to_the_noise(tmp_path):
    bundle = do_export(tmp_path / "prior", policy=None)
    noise = np.linspace(-1, 1, 7, dtype=np.float32)
    now = {name: array[0] for name, array in observations(1).items()}
    np.testing.assert_array_equal(bundle.act(now, noise).z, noise)
    parity = onnx_parity(
        bundle, PolicyGraph(MODULES["encoder"], MODULES["flow"], None), observations(100, seed=2)
    )
    assert parity.action <= 1e-5 and parity.log_likelihood <= 1e-4


def test_each_graph_is_one_file_without_external_weights(exported):
    assert {file.name for file in exported.iterdir()} == {SPEC, POLICY, INVERSE, GOLDEN}
    for name in (POLICY, INVERSE):
        onnx.checker.check_model(
            onnx.load(exported / name, load_external_data=False), full_check=True
        )


def test_spec_says_where_the_policy_comes_from(exported):
    spec = load_bundle(exported).spec
    assert (spec.contract, dict(spec.training), spec.name) == (CONTRACT, {"seed": 0}, "bundle")
    assert re.fullmatch("unknown|[0-9a-f]{40}(-dirty)?", spec.git_commit)


def test_exporting_prints_nothing(export_process):
    assert (export_process.stdout, export_process.stderr, export_process.returncode) == ("", "", 0)


def test_modules_keep_their_mode_and_gradients():
    encoder = Encoder().train()
    PolicyGraph(encoder, MODULES["flow"], None)
    assert encoder.training and all(parameter.requires_grad for parameter in encoder.parameters())


# --- whole or not at all
# ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("graphs_of_the_first")
def test_a_new_bundle_replaces_the_old_one(tmp_path):
    first, second = do_export(tmp_path / "bundle"), do_export(tmp_path / "bundle", name="second")
    assert load_bundle(tmp_path / "bundle").hash == second.hash != first.hash
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    "trouble",
    [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("exporter")],
)
@pytest.mark.parametrize("there_before", [False, True])
@pytest.mark.usefixtures("graphs_of_the_first")
def test_trouble_on_the_way_leaves_the_old_bundle_or_none(
    tmp_path, monkeypatch, trouble, there_before
):
    path = tmp_path / "bundle"
    before = do_export(path).hash if there_before else None

    def failing(graph, file, *rest):
        file.write_bytes(b"half")
        if file.name == INVERSE:
            raise trouble

    monkeypatch.setattr(bundle_writer, "write_onnx", failing)
    with pytest.raises(type(trouble)):
        do_export(path)
    assert [entry.name for entry in tmp_path.iterdir()] == (["bundle"] if there_before else [])
    assert not there_before or load_bundle(path).hash == before


@pytest.mark.usefixtures("graphs_of_the_first")
def test_an_interrupt_between_the_two_renames_keeps_the_old_bundle(tmp_path, monkeypatch):
    path = tmp_path / "bundle"
    before = do_export(path).hash
    rename = Path.rename

    def interrupted(self, target):
        if self.name.startswith(".bundle.") and self.name.endswith(".tmp"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        do_export(path)
    assert load_bundle(path).hash == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.usefixtures("graphs_of_the_first")
@pytest.mark.parametrize("name", ["policy", "flow"])
def test_graphs_that_do_not_reproduce_the_modules_are_never_published(tmp_path, name):
    other = copy.deepcopy(MODULES[name])
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.01
    with pytest.raises(BundleError, match="the graphs differ from torch"):
        do_export(tmp_path / "bundle", **{name: other})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("graphs_of_the_first")
@pytest.mark.parametrize(
    ("action", "log_likelihood"), [(2e-5, 0.0), (0.0, 2e-4), (np.nan, 0.0), (0.0, np.nan)]
)
def test_graphs_that_differ_from_torch_are_never_published(
    tmp_path, monkeypatch, action, log_likelihood
):
    monkeypatch.setattr(
        bundle_writer, "onnx_parity", lambda *_: Parity(8, action, 0.0, log_likelihood, 0.0, 0.0)
    )
    with pytest.raises(BundleError, match="nothing was written: the graphs differ from torch"):
        do_export(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("graphs_of_the_first")
def test_weights_that_are_nan_are_never_published(tmp_path):
    broken = copy.deepcopy(MODULES["policy"])
    nn.init.constant_(broken.trunk[-1].bias, torch.nan)
    with pytest.raises(BundleError, match="the graphs differ from torch by nan"):
        do_export(tmp_path / "bundle", policy=broken)
    assert list(tmp_path.iterdir()) == []


# --- what does not fit is refused before anything is exported
# ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"contract": load_robot("wx250s").contract(64)},
            SpecMismatch,
            r"image: expected uint8 \(n, 64, 64, 3\)",
        ),
        (
            {"flow": ConditionalRealNVP(6, FEATURES)},
            SpecMismatch,
            "actions of 6 values, the contract has 7",
        ),
        ({"flow": ConditionalRealNVP(7, FEATURES + 1)}, SpecMismatch, "context"),
        (
            {"golden_observations": {"image": observations(2)["image"]}},
            SpecMismatch,
            "proprio: expected float32",
        ),
        ({"golden_observations": observations(0)}, DataError, "at least one"),
        (
            {
                "golden_observations": {
                    **observations(2),
                    "proprio": np.full((2, 16), np.nan, np.float32),
                }
            },
            DataError,
            "finite",
        ),
        (
            {"training_config": {"device": torch.device("cpu")}},
            BundleError,
            "training_config cannot be written",
        ),
    ],
)
@pytest.mark.usefixtures("graphs_of_the_first")
def test_what_does_not_fit_is_refused_by_name(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        do_export(tmp_path / "bundle", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConureError, match="exists and is not a bundle"):
        do_export(tmp_path / "notes")
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", [SPEC, POLICY, INVERSE, GOLDEN])
@pytest.mark.parametrize("harm", ["missing", "truncated", "altered"])
def test_a_real_bundle_that_was_damaged_is_refused_by_file(exported, tmp_path, name, harm):
    damaged = tmp_path / "bundle"
    shutil.copytree(exported, damaged)
    content = bytearray((damaged / name).read_bytes())
    if harm == "missing":
        (damaged / name).unlink()
    elif harm == "truncated":
        (damaged / name).write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        (damaged / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        load_bundle(damaged)


@pytest.mark.parametrize(
    ("robot", "field"),
    [
        (load_robot("wx250s").contract(64), "observation.image.shape"),
        (load_robot("wx250s").contract(32), "image.shape"),
    ],
)
def test_a_bundle_is_refused_where_the_camera_has_another_size(exported, robot, field):
    with pytest.raises(SpecMismatch, match=field):
        load_bundle(exported, expected=robot)


# --- likelihood thresholds
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, "low", True])
def test_a_threshold_that_would_switch_the_monitor_off_is_refused_and_nothing_is_written(
    tmp_path, value
):
    with pytest.raises(
        BundleError, match=r"log_likelihood_thresholds\.p01 must be a finite number"
    ):
        do_export(tmp_path / "bundle", log_likelihood_thresholds={"p01": value, "p05": 1.0})
    with pytest.raises(BundleError, match=r"p01 .* must not be above p05"):
        do_export(tmp_path / "bundle", log_likelihood_thresholds={"p01": 2.0, "p05": 1.0})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["{}", '{"held_out_log_likelihood": 3.0}', "[]", '{"held_out_log_likelihood_p01": "x"}']
)
def test_metrics_without_quantiles_are_refused_rather_than_exported_unwatched(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        export._thresholds(str(tmp_path / "metrics.json"))


def test_a_number_of_a_training_note_that_is_none_is_kept_as_null(tmp_path):
    torch.save({"note": {"loss": float("nan"), "steps": 3}}, tmp_path / "agent.pt")
    assert export._note(tmp_path / "agent.pt") == {"loss": None, "steps": 3}


def test_a_trained_policy_keeps_the_task_the_target_and_the_objects_for_its_bundle(
    tmp_path, monkeypatch
):
    class Untrained:
        def run(self, on_episode):
            pass

        def save(self, path, note):
            path.parent.mkdir()
            torch.save({"note": note}, path)

        def record(self):
            return {}

    @contextlib.contextmanager
    def open_loop(config):
        yield Untrained()

    monkeypatch.setattr(train, "_open_loop", open_loop)
    words = ["task=Lift", "target=random_904", "objects=test", f"out={tmp_path}/rl"]
    policy = train.train_rl(load_config("conure_training.conf", "rl", train.RunConfig, words))
    note = export._note(policy)
    assert {name: note[name] for name in ("task", "target", "objects")} == {
        "task": "Lift",
        "target": "random_904",
        "objects": "test",
    }
