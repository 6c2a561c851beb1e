"""The report says what the stages left, in one file that fetches nothing; the summary's judgements
are computed.
"""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from mcap_ros2.writer import Writer

from conure_core.errors import DataError
from conure_training.demo.pipeline import PipelineStep, run_steps
from conure_training.demo.plots import rolling_mean
from conure_training.demo.report import write_report
from conure_training.demo.summary import STAGES, _least_count, read_summary
from conure_training.evaluation.intervals import estimate_rate
from conure_training.evaluation.robot_trials import camera_frames, read_trials

IMAGE = """uint32 height
uint32 width
string encoding
uint8[] data"""
CONFIG = {
    "robot": {"robot": "wx250s"},
    "prior": {"static_scenes": 1000},
    "demos": {"episodes": {"Lift": 5}},
    "target": "box_test_00",
    "seed": 3,
    "noise_scale": 0.5,
}
OUTSIDE_KEYS = {
    "prior_success_any",
    "prior_success",
    "scratch_success",
    "policy_success_sim",
    "policy_success_ros",
    "onnx_action_max_abs_diff",
    "onnx_log_likelihood_max_abs_diff",
    "round_trip_max_abs_diff",
    "inference_ms_p50",
    "inference_ms_p99",
    "inference_ms_worst",
    "capture_to_command_ms_p50",
    "capture_to_command_ms_p99",
    "capture_to_command_ms_worst",
    "control_period_ms",
    "stage_seconds",
    "versions",
    "seed",
    "commit",
    "machine",
    "target",
    "ros_not_below_simulation",
    "required",
    "auxiliary_task",
}


PARITY = ("count", "action", "log_likelihood", "inverse_log_likelihood", "round_trip")


class Deaf:
    def on_start(self, *_): ...
    def on_end(self, *_, **__): ...


def recording(path, images=20, encoding="rgb8", topic="/camera/image_raw"):
    with path.open("wb") as stream:
        writer = Writer(stream)
        schema = writer.register_msgdef("sensor_msgs/msg/Image", IMAGE)
        for index in range(images):
            image = {"height": 4, "width": 6, "encoding": encoding, "data": [index] * 72}
            writer.write_message(topic, schema, image, log_time=index)
        writer.finish()


def test_recorded_images_of_another_encoding_are_refused_by_name(tmp_path):
    recording(tmp_path / "trial.mcap", encoding="bgr8")
    with pytest.raises(DataError, match="are bgr8, expected rgb8"):
        camera_frames(tmp_path / "trial.mcap", 2)


@pytest.mark.parametrize("topic", ["/left/policy/image", "/left/camera/image_raw"])
def test_frames_of_a_robot_in_a_namespace_are_found(tmp_path, topic):
    recording(tmp_path / "trial.mcap", topic=topic)
    assert len(camera_frames(tmp_path / "trial.mcap", 3)) == 3


def test_a_recording_without_raw_images_is_refused_by_name(tmp_path):
    recording(tmp_path / "trial.mcap", topic="/wrist/image_raw")
    with pytest.raises(DataError, match="holds no image on policy/image or camera/image_raw"):
        camera_frames(tmp_path / "trial.mcap", 3)


def trial(folder, seed, success):
    recording(folder / f"trial_{seed}.mcap")
    measures = {
        "capture_to_command_ms": [5.0] * 99 + [30.0],
        "inference_ms": [0.5, 0.6],
        "log_likelihood": [4.0, -9.0, 3.0],
        "command_interval_ms": [100.0],
        "safety_changes": 2,
        "images": 20,
    }
    message, name = "success after 2.0 s", f"trial_{seed}.mcap"
    about = {
        "seed": seed,
        "target": "box_test_00",
        "success": success,
        "duration_s": 2.0,
        "recording": name,
    }
    return {**about, "message": message, "measures": measures}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def evaluation(wins, any_wins, trials):
    lists = [[index < count for index in range(trials)] for count in (wins, any_wins)]
    return {
        "success": estimate_rate(lists[0]),
        "any_lifted": estimate_rate(lists[1]),
        "episodes": [],
    }


def filled(folder, wins=9, trials=10):
    """What the stages leave, small."""
    run_steps(
        folder, [PipelineStep(name, name, {}, (), (), lambda: None) for name in STAGES], Deaf()
    )
    write(folder / "prior" / "rollouts.json", evaluation(20, 70, 100))
    write(folder / "rl" / "rollouts.json", evaluation(180, 185, 200))
    write(folder / "rl" / "scratch_rollouts.json", evaluation(0, 1, 200))
    for name in ("latent", "scratch"):
        episodes = [
            {"steps": 10 * index, "success": index % 2 == 0, "any_lifted": True}
            for index in range(1, 30)
        ]
        write(folder / "rl" / name / "curve.json", {"episodes": episodes})
    parity = {
        "count": 1000,
        "action": 2e-6,
        "z": 0.0,
        "log_likelihood": 5e-5,
        "inverse_log_likelihood": 5e-5,
    }
    write(
        folder / "export.json",
        {"parity": {**parity, "round_trip": 3e-6}, "inference_ms": [0.3] * 1990 + [1.5] * 10},
    )
    quantiles = {
        f"held_out_log_likelihood_p{percent}": value
        for percent, value in (("01", -5), ("05", -1), ("50", 5))
    }
    write(
        folder / "prior" / "metrics.json",
        {**quantiles, "objects_found": 0.9, "object_position_error_mm": 4.2},
    )
    (folder / "trials").mkdir()
    rows = [trial(folder / "trials", seed, seed < wins) for seed in range(trials)]
    write(folder / "trials" / "trials.json", {"format": 1, "settings": {}, "trials": rows})
    write(folder / "trials" / "load.json", {"busy_cores": 0.9})
    (folder / "busy_trials").mkdir()
    write(folder / "busy_trials" / "trials.json", {"format": 1, "settings": {}, "trials": rows[:1]})
    write(folder / "busy_trials" / "load.json", {"busy_cores": 1.9})
    return folder


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.sources = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [
            value for name, value in attributes if name in ("src", "href", "xlink:href")
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = filled(tmp_path_factory.mktemp("demo"))
    write_report(folder, CONFIG)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def test_summary_has_every_key_that_outside_checks_read(folder):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    summary = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    assert not OUTSIDE_KEYS - set(summary)
    assert summary["policy_success_ros"] == {**estimate_rate([True] * 9 + [False]), "trials": 10}
    assert summary["prior_success_any"]["rate"] == 0.7
    assert summary["capture_to_command_ms_p50"] == 5.0
    assert summary["capture_to_command_ms_worst"] == 30.0
    assert summary["inference_ms_p99"] == 0.3
    assert summary["control_period_ms"] == 100.0
    assert list(summary["stage_seconds"]) == [*STAGES, "report"]
    assert summary["total_seconds"] == pytest.approx(sum(summary["stage_seconds"].values()))


def test_requirements_are_judged_by_their_values(folder):
    met = {row["what"]: row["met"] for row in read_summary(folder)["required"]}
    assert all(met.values()), met


@pytest.mark.parametrize(
    ("file", "change", "unmet"),
    [
        ("prior/rollouts.json", evaluation(0, 59, 100), {"prior alone, any object lifted"}),
        (
            "rl/rollouts.json",
            evaluation(169, 185, 200),
            {"policy in simulation, target lifted"},
        ),
        (
            "rl/rollouts.json",
            evaluation(195, 199, 200),
            {"robot graph not below the simulation's 95 % interval"},
        ),
        (
            "export.json",
            {
                "parity": dict.fromkeys(PARITY, 2e-4),
                "inference_ms": [2.1] * 9,
            },
            {
                "ONNX against torch, action",
                "ONNX against torch, log-likelihood, nats",
                "round trip f(f⁻¹(a)) to a",
                "inference on one core, p99",
            },
        ),
    ],
)  # fmt: skip
def test_a_value_that_does_not_suffice_is_said_to_be_not_met(tmp_path, file, change, unmet):
    folder = filled(tmp_path)
    write(folder / file, change)
    write_report(folder, CONFIG)
    assert {row["what"] for row in read_summary(folder)["required"] if not row["met"]} == unmet
    assert (folder / "report.html").read_text().count('class="unmet"') == len(unmet)


def test_a_nan_is_never_met(tmp_path):
    folder = filled(tmp_path)
    exported = json.loads((folder / "export.json").read_text())
    exported["parity"]["action"] = float("nan")
    write(folder / "export.json", exported)
    write_report(folder, CONFIG)
    assert [
        row["met"]
        for row in read_summary(folder)["required"]
        if row["what"] == "ONNX against torch, action"
    ] == [False]


def test_report_fetches_nothing(page):
    parsed = Page(page)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert parsed.sources
    assert all(source.startswith(("data:", "#")) for source in parsed.sources)
    assert not re.findall(r"url\((?!#)", page)
    assert "@import" not in page


def test_report_shows_the_figures_and_both_strips(page):
    assert Page(page).tags.count("svg") == 5
    assert "of a success" in page
    assert "of a failure" in page
    assert "1,000 labelled scenes; it finds 90 % of the objects" in page


def test_figures_take_the_pages_colours_and_keep_their_identifiers_apart(page):
    assert "currentColor" in page
    assert not re.findall(r"#0[14]0[25]0[36]", page)
    clips = re.findall(r'<clipPath id="(\w+)"', page)
    assert len(clips) == len(set(clips))


def test_a_stage_that_other_sources_made_is_named(tmp_path):
    folder = filled(tmp_path)
    path = folder / "stages" / "rl.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "commit": "0" * 40}))
    write_report(folder, CONFIG)
    page = (folder / "report.html").read_text()
    assert "step rl was made by another" in page
    assert "0" * 40 in page


def test_a_report_without_a_failure_says_so(tmp_path):
    folder = filled(tmp_path, wins=10)
    write_report(folder, CONFIG)
    assert "there is no failure to show" in (folder / "report.html").read_text()


def test_a_report_without_a_success_says_so(tmp_path):
    folder = filled(tmp_path, wins=0)
    write_report(folder, CONFIG)
    assert "No trial on the robot graph succeeded" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "prior/rollouts.json",
        "prior/metrics.json",
        "rl/latent/curve.json",
        "export.json",
        "trials/trials.json",
        "trials/trial_0.mcap",
    ],
)
@pytest.mark.parametrize("damage", ["cut", "gone", "empty object"])
def test_a_damaged_output_is_named_and_no_report_is_written(tmp_path, name, damage):
    folder = filled(tmp_path, trials=2)
    path = folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            path.read_bytes()[: path.stat().st_size // 2] if damage == "cut" else b"{}"
        )
    with pytest.raises(DataError, match=re.escape(name)):
        write_report(folder, CONFIG)
    assert not (folder / "report.html").exists()
    assert not (folder / "summary.json").exists()


def test_frames_are_spread_from_the_first_to_the_last(folder):
    first = read_trials(folder / "trials")[0]
    frames = camera_frames(first.recording, 4)
    assert [int(frame[0, 0, 0]) for frame in frames] == [0, 6, 13, 19]
    assert frames[0].shape == (4, 6, 3)


def test_rolling_mean_is_that_of_the_last_values():
    values = np.random.default_rng(0).normal(size=40)
    expected = [values[max(0, end - 7) : end].mean() for end in range(1, 41)]
    assert rolling_mean(list(values), 7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "count"),
    [(0.5, "25 of 50"), (0.972, "49 of 50"), (0.981, "50 of 50"), (0.0, "0 of 50")],
)
def test_an_interval_says_how_many_of_few_trials_must_succeed(low, count):
    assert _least_count({"low": low, "high": 1.0}, 50) == count
