from __future__ import annotations

from pathlib import Path

import pytest

from trainer.memory.calibration import LARGEST, Calibration, calibration_key

KEY = calibration_key(device="cuda", card="rtx3050", precision="fp16")


@pytest.fixture
def calibration(tmp_path: Path) -> Calibration:
    return Calibration(tmp_path / "plans" / "calibration.json")


def learn(calibration: Calibration, ratio: float) -> float:
    return calibration.learn(KEY, predicted_bytes=1000, measured_bytes=round(1000 * ratio))


def test_before_any_run_a_plan_is_taken_as_it_is(calibration: Calibration) -> None:
    assert calibration.factor(KEY) == 1
    assert not calibration.knows(KEY)


def test_a_run_that_took_more_raises_the_next_plans(calibration: Calibration) -> None:
    assert learn(calibration, 1.1) == 1.1
    assert calibration.factor(KEY) == 1.1
    assert calibration.factor(calibration_key(device="cuda", card="t4", precision="fp16")) == 1


def test_a_run_of_short_texts_proves_nothing_and_lowers_nothing(calibration: Calibration) -> None:
    learn(calibration, 0.5)
    assert calibration.knows(KEY)
    assert calibration.factor(KEY) == 1
    learn(calibration, 1.1)
    learn(calibration, 0.9)
    assert calibration.factor(KEY) == 1.1


def test_a_factor_is_bounded(calibration: Calibration) -> None:
    learn(calibration, 9.0)
    assert calibration.factor(KEY) == LARGEST


def test_the_directory_of_the_file_is_made(tmp_path: Path) -> None:
    calibration = Calibration(tmp_path / "not" / "there" / "calibration.json")
    learn(calibration, 1.1)
    assert calibration.path.is_file()
