"""Episodes of a data set that do not fit the others: each is predicted by models of the rest.

Kernel ridge regression throughout; see Rasmussen and Williams, Gaussian Processes for Machine
Learning, MIT Press 2006, 2.2 and 5.4.2 (leave-one-out).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from conure_training.curation.runs import true_runs
from conure_training.data.demonstrations import Demonstrations

SMALL_PX = 16
"""Side of the grey images that models see."""
MOST_ROWS = 2000
"""Steps that a model of the tool is made of."""
FOLDS = 4
RIDGE = 0.05
LAGS = range(-6, 7)
SHIFT = 2
"""Control periods by which joints must be off to be named."""
MIRROR_GAIN = 1.5
"""By so much mirrored images must fit better."""
GAIN = 1.35
"""By so much a shift must better the fit."""
OUTLIER = 6.0
"""Scaled median absolute deviations from the median."""
TIMES_USUAL = 3.0
"""By so much the tool must be farther off than in the median episode."""
MARGIN = 0.25
"""By how much another label must be more likely, of 1."""
FROZEN_STEPS = 4
FROZEN_PATH_M = 0.015
UNCHANGED = 0.15
"""Images that change by less than this part of the usual change are the same."""

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Suspect:
    """Why an episode is suspected."""

    episode: int
    """Its number."""
    kind: str
    """frozen camera, camera, joints, task, outcome or likelihood."""
    score: float
    """How far it is beyond the threshold, which is 1."""
    why: str
    """For a person to read."""


def find_suspects(data: Demonstrations) -> list[Suspect]:
    """Find episodes that do not fit the others, the worst first.

    Args:
        data: The data set, of a dozen episodes or more.

    Returns:
        Suspects; an episode may be there for several reasons.
    """
    small = small_images(data)
    frozen = find_frozen(data, small)
    found = [*frozen, *find_misplaced(data, small), *find_mislabelled(data, small)]
    return sorted(found, key=lambda suspect: -suspect.score)


def small_images(data: Demonstrations) -> NDArray[np.float32]:
    """Grey images of every step, (n, SMALL_PX, SMALL_PX), in [0, 1]; a few at a time in memory."""
    small = np.empty((len(data), SMALL_PX, SMALL_PX), np.float32)
    for row in range(len(data)):
        grey = data.image[row].mean(axis=2, dtype=np.float32) / 255.0
        small[row] = cv2.resize(grey, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA)
    return small


def find_frozen(data: Demonstrations, small: NDArray[np.float32]) -> list[Suspect]:
    """Find episodes whose image stays the same while the tool moves.

    Args:
        data: The data set.
        small: See `small_images`.
    """
    changes = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
    usual = float(np.median(changes))
    moved_m = np.linalg.norm(np.diff(data.proprio[:, :3], axis=0), axis=1)
    found = []
    for episode in range(len(data.ends)):
        steps = data.steps_of(episode)
        inside = slice(steps.start, steps.stop - 1)
        same = changes[inside] < UNCHANGED * usual
        for first, end in true_runs(same):
            path_m = float(moved_m[inside][first:end].sum())
            if end - first >= FROZEN_STEPS and path_m > FROZEN_PATH_M:
                why = (
                    f"the image stays the same from step {first} to {end} while the tool moves"
                    f" {100 * path_m:.1f} cm"
                )
                found.append(Suspect(episode, "frozen camera", (end - first) / FROZEN_STEPS, why))
                break
    return found


def find_misplaced(data: Demonstrations, small: NDArray[np.float32]) -> list[Suspect]:
    """Find episodes whose images show the tool elsewhere than the joints say: another camera, or
    joints that are early or late.

    Args:
        data: The data set.
        small: See `small_images`.
    """
    errors_m, mirrored_m = _errors_of_place(data, small)
    now = errors_m[:, LAGS.index(0)]
    best = errors_m.argmin(axis=1)
    usual_m = float(np.median(now))
    limit_m = max(usual_m + OUTLIER * spread(now), TIMES_USUAL * usual_m)
    found = []
    for episode, error_m in enumerate(now):
        lag = LAGS[best[episode]]
        gain = error_m / max(errors_m[episode, best[episode]], 1e-6)
        if error_m > MIRROR_GAIN * mirrored_m[episode]:
            found.append(_mirrored(episode, error_m, mirrored_m[episode]))
        elif abs(lag) >= SHIFT and gain > GAIN:
            found.append(_shifted(episode, lag, gain))
        elif error_m > limit_m:
            found.append(_moved(episode, error_m, limit_m))
    return found


def _mirrored(episode: int, error_m: float, mirrored_m: float) -> Suspect:
    score = float(error_m / mirrored_m / MIRROR_GAIN)
    why = (
        f"mirrored, its images show the tool {100 * mirrored_m:.1f} cm away from where the joints"
        f" say, not {100 * error_m:.1f} cm: a mirrored camera"
    )
    return Suspect(episode, "camera", score, why)


def _shifted(episode: int, lag: int, gain: float) -> Suspect:
    side = "late" if lag > 0 else "early"
    why = f"joint states are {abs(lag)} control periods {side} beside the images"
    return Suspect(episode, "joints", float(gain / GAIN), why)


def _moved(episode: int, error_m: float, limit_m: float) -> Suspect:
    why = (
        f"the tool seems {100 * error_m:.1f} cm away from where the joints say: a moved or swapped"
        " camera"
    )
    return Suspect(episode, "camera", float(error_m / limit_m), why)


def find_mislabelled(data: Demonstrations, small: NDArray[np.float32]) -> list[Suspect]:
    """Find episodes that look like those of another task, or like another outcome.

    Args:
        data: The data set.
        small: See `small_images`.
    """
    features = _summaries(data, small)
    tasks = [data.tasks[number] for number in data.task]
    found = _unlike(features, tasks, "task")
    outcomes = np.array([info.outcome for info in data.episodes])
    for task in data.tasks:
        mine = np.array([name == task for name in tasks]) & (outcomes != "unknown")
        index = np.flatnonzero(mine)
        for suspect in _unlike(features[index], outcomes[index].tolist(), "outcome"):
            number = int(index[suspect.episode])
            found.append(Suspect(number, suspect.kind, suspect.score, suspect.why))
    return found


def _errors_of_place(data: Demonstrations, small: NDArray[np.float32]) -> tuple[Rows, Rows]:
    """Each episode's median error of the tool's place, m: where joints are taken so many control
    periods later, (e, LAGS); and where its images are mirrored, (e,).
    """
    mean = small.mean(axis=0)
    images = small - (mean + mean[:, ::-1]) / 2  # mirrored, it is the mean of mirrored ones too
    images /= images.std() + 1e-9
    place = data.proprio[:, :3].astype(np.float64)
    episode = np.repeat(np.arange(len(data.ends)), data.ends - data.starts)
    predicted, predicted_mirrored = np.empty_like(place), np.empty_like(place)
    rng = np.random.default_rng(0)
    for fold in range(FOLDS):
        others = np.flatnonzero(episode % FOLDS != fold)
        chosen = np.sort(rng.permutation(others)[:MOST_ROWS])
        predict = _fit(_flat(images[chosen]), place[chosen])
        for number in range(fold, len(data.ends), FOLDS):
            steps = data.steps_of(number)
            predicted[steps] = predict(_flat(images[steps]))
            predicted_mirrored[steps] = predict(_flat(images[steps][:, :, ::-1]))
    errors = np.empty((len(data.ends), len(LAGS)))
    errors_mirrored = np.empty(len(data.ends))
    for number in range(len(data.ends)):
        steps = data.steps_of(number)
        errors[number] = _lagged_errors(predicted[steps], place[steps])
        apart = np.linalg.norm(predicted_mirrored[steps] - place[steps], axis=1)
        errors_mirrored[number] = np.median(apart)
    return errors, errors_mirrored


def _lagged_errors(predicted: Rows, place: Rows) -> Rows:
    count = len(place)
    errors = []
    for lag in LAGS:
        first, end = max(0, -lag), min(count, count - lag)
        if end - first < SHIFT + 1:
            errors.append(np.inf)
            continue
        apart = predicted[first:end] - place[first + lag : end + lag]
        errors.append(float(np.median(np.linalg.norm(apart, axis=1))))
    return np.array(errors)


def _summaries(data: Demonstrations, small: NDArray[np.float32]) -> Rows:
    """What an episode is, as one row: first and last image, where it ends, how the gripper went."""
    pictures, numbers = [], []
    for episode in range(len(data.ends)):
        steps = data.steps_of(episode)
        seen = small[steps]
        proprio = data.proprio[steps]
        action = data.action[steps]
        pictures.append(np.concatenate([seen[0].ravel(), seen[-1].ravel()]))
        measured = [proprio[-1], proprio.max(axis=0), proprio.min(axis=0), action[-3:].mean(axis=0)]
        numbers.append(np.concatenate([*measured, [len(seen)]]))
    parts = [_centred(np.stack(pictures)), _standardized(np.stack(numbers))]
    # Pictures and numbers weigh the same, however many there are of them.
    return np.concatenate([part / np.sqrt(part.shape[1]) for part in parts], axis=1)


def _unlike(features: Rows, labels: Sequence[str], kind: str) -> list[Suspect]:
    """Episodes whose label is not that which the others with like features have."""
    names = sorted(set(labels))
    if len(names) < 2:
        return []
    truth = np.array([[float(label == name) for name in names] for label in labels])
    likely = _leave_one_out(features, truth)
    found = []
    for number, label in enumerate(labels):
        own = likely[number, names.index(label)]
        best = int(likely[number].argmax())
        margin = float(likely[number, best] - own)
        if names[best] != label and margin > MARGIN:
            why = f"its {kind} is {label}, it looks like {names[best]}"
            found.append(Suspect(number, kind, margin / MARGIN, why))
    return found


def _leave_one_out(features: Rows, truth: Rows) -> Rows:
    """Each row's prediction by the others, in closed form."""
    kernel = _kernel(features, features, _width(features))
    inverse = np.linalg.inv(kernel + RIDGE * np.eye(len(kernel)))
    mean = truth.mean(axis=0)
    weights = inverse @ (truth - mean)
    return np.asarray(truth - weights / np.diag(inverse)[:, None])


def _fit(features: Rows, values: Rows) -> Callable[[Rows], Rows]:
    """The regression of values on features, as a function of other features."""
    width = _width(features)
    mean = values.mean(axis=0)
    kernel = _kernel(features, features, width) + RIDGE * np.eye(len(features))
    weights = np.linalg.solve(kernel, values - mean)
    return lambda wanted: np.asarray(mean + _kernel(wanted, features, width) @ weights)


def _flat(images: NDArray[np.float32]) -> Rows:
    return images.reshape(len(images), -1).astype(np.float64)


def _squared_distances(first: Rows, second: Rows) -> Rows:
    """Between rows (n, F) and (m, F), shape (n, m)."""
    lengths = (first**2).sum(axis=1)
    others = (second**2).sum(axis=1)
    squared = lengths[:, None] + others - 2 * first @ second.T
    return np.maximum(squared, 0.0)


def _kernel(first: Rows, second: Rows, width: float) -> Rows:
    exponent = -_squared_distances(first, second) / (2 * width**2)
    return np.asarray(np.exp(exponent))


def _width(features: Rows) -> float:
    """The median distance between rows."""
    every = max(1, len(features) // 200)
    some = features[::every]
    median = np.median(_squared_distances(some, some))
    return float(np.sqrt(median)) + 1e-9


def _centred(rows: NDArray[np.floating]) -> Rows:
    """Pixels around their means, on one scale: those that never change stay small."""
    values = rows.astype(np.float64)
    values -= values.mean(axis=0)
    return np.asarray(values / (values.std() + 1e-9))


def _standardized(rows: NDArray[np.floating]) -> Rows:
    values = rows.astype(np.float64)
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-3))


def spread(values: Rows) -> float:
    """The median absolute deviation of values (n,), as a standard deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) + 1e-9
