from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.runs import Watcher, make_config
from trainer.callbacks import Callback, CallbackFailed, hook_names, load_callbacks
from trainer.errors import ConfigError
from trainer.loop import Loop
from trainer.runner import run


class Diary:
    """Writes every call into a file beside the run."""

    def _note(self, trainer: Loop, line: str) -> None:
        with (trainer.parts.experiment.directory / "diary.txt").open("a") as stream:
            stream.write(f"{line}\n")

    def on_train_begin(self, trainer: Loop, **kwargs: Any) -> None:
        self._note(trainer, f"train begin {trainer.config.training.num_epochs}")

    def on_epoch_begin(self, trainer: Loop, epoch: int, **kwargs: Any) -> None:
        self._note(trainer, f"epoch {epoch} begins")

    def on_step_end(self, trainer: Loop, step: int, loss: float, **kwargs: Any) -> None:
        self._note(trainer, f"step {step} of {trainer.progress.step} {loss > 0}")

    def on_evaluate(self, trainer: Loop, evaluation: int, metrics: dict[str, float], **kwargs: Any) -> None:
        self._note(trainer, f"evaluation {evaluation} {'eval_f1_macro' in metrics}")

    def on_epoch_end(self, trainer: Loop, epoch: int, **kwargs: Any) -> None:
        self._note(trainer, f"epoch {epoch} ends")

    def on_train_end(self, trainer: Loop, status: str, **kwargs: Any) -> None:
        self._note(trainer, f"train end {status}")


class Plain:
    """Derives from nothing and has one hook."""

    def on_epoch_end(self, trainer: Loop, **kwargs: Any) -> None:
        trainer.journal.say("a plain class was called")


class Raises:
    def on_evaluate(self, trainer: Loop, **kwargs: Any) -> None:
        raise KeyError("no such metric")


class Misspelt:
    def on_epoch_ends(self, trainer: Loop, **kwargs: Any) -> None: ...


class Empty:
    pass


class Demanding(Callback):
    def __init__(self, needed: int) -> None:
        self.needed = needed


def test_hooks_are_called_in_the_order_of_training(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__effective_batch_size=20, callbacks__custom=[f"{__name__}:Diary"])
    run(config, directory=tmp_path / "run")
    assert (tmp_path / "run" / "diary.txt").read_text().splitlines() == [
        "train begin 2",
        *("epoch 0 begins", "step 1 of 1 True", "step 2 of 2 True", "evaluation 1 True", "epoch 0 ends"),
        *("epoch 1 begins", "step 3 of 3 True", "step 4 of 4 True", "evaluation 2 True", "epoch 1 ends"),
        "train end completed",
    ]


def test_a_class_that_derives_from_nothing_will_do(tmp_path: Path) -> None:
    watcher = Watcher()
    config = make_config(tmp_path, callbacks__custom=[f"{__name__}:Plain"])
    run(config, directory=tmp_path / "run", observer=watcher)
    assert watcher.lines.count("a plain class was called") == 2


def test_a_callback_that_raises_is_named_with_its_hook(tmp_path: Path) -> None:
    config = make_config(tmp_path, callbacks__custom=[f"{__name__}:Plain", f"{__name__}:Raises"])
    with pytest.raises(CallbackFailed, match=r"test_callbacks:Raises\.on_evaluate raised KeyError") as caught:
        run(config, directory=tmp_path / "run")
    assert isinstance(caught.value.__cause__, KeyError)
    assert "CallbackFailed: the callback" in (tmp_path / "run" / "run.log").read_text(encoding="utf-8")


def test_every_bad_name_is_reported_at_once() -> None:
    names = [f"{__name__}:{name}" for name in ("Nowhere", "Misspelt", "Empty", "Demanding", "Plain")]
    with pytest.raises(ConfigError) as caught:
        load_callbacks(["no.such.module:Thing", "nocolon", *names])
    messages = [str(problem) for problem in caught.value.problems]
    assert len(messages) == 6
    assert all(message.startswith("callbacks.custom: ") for message in messages)
    assert "no.such.module:Thing cannot be imported" in messages[0]
    assert "write module:Class" in messages[1]
    assert "did you mean on_epoch_end?" in messages[3]
    assert "has no hook; hooks are on_train_begin, " in messages[4]
    assert "missing 1 required positional argument: 'needed'" in messages[5]


def test_a_module_beside_the_user_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class Mine:\n    def on_train_end(self, trainer, **kwargs):\n        pass\n"
    (tmp_path / "my_own_hooks.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (found,) = load_callbacks(["my_own_hooks:Mine"])
    assert type(found).__name__ == "Mine"


def test_the_hooks_of_the_base_class_are_all_called_by_the_loop() -> None:
    import inspect

    from trainer import loop

    source = inspect.getsource(loop)
    assert all(f'"{name}"' in source for name in hook_names())
    assert len(hook_names()) == 6
