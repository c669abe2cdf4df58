"""Search spaces: read, refused with every problem, turned into configurations."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.space import Space, load_space, space_names
from search.space_file import CardChoice, require_file_name, seconds
from trainer.errors import ConfigError, UserError

HEAD = "base: hyperparameter_search\n"
RATE = "search:\n  training.learning_rate: {type: float, low: 1e-5, high: 1e-3, log: true}\n"
CONDITIONAL = """\
base: hyperparameter_search
search:
  training.class_weights: {type: categorical, choices: [none, sqrt]}
  training.label_smoothing: {type: float, low: 0, high: 0.2, when: {training.class_weights: sqrt}}
  training.head_lr_multiplier:
    {type: int, low: 1, high: 9, step: 2, when: {training.class_weights: [none, sqrt]}}
enqueue:
  - {training.class_weights: sqrt, training.label_smoothing: 0.1}
  - {training.class_weights: none}
"""
Load = Callable[..., Space]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, **settings: Any) -> Space:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_space(
            str(path), settings={key.replace("__", "."): value for key, value in settings.items()}
        )

    return loaded


@pytest.fixture
def refused(load: Load, tmp_path: Path) -> Callable[..., list[str]]:
    def complaints(text: str, **settings: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **settings)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return complaints


def dimension(line: str, *, key: str = "training.learning_rate") -> str:
    return f"{HEAD}search:\n  {key}: {{{line}}}\n"


@pytest.mark.parametrize("name", space_names())
def test_every_bundled_space_loads_and_all_its_points_can_be_tried(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert not space.notes
    for point in space.enqueue:
        assert space.trial_config(point).training.learning_rate == point["training.learning_rate"]
        assert space.final_config(point).training.learning_rate == point["training.learning_rate"]


def test_the_reference_space_is_the_one_of_the_guide() -> None:
    space = load_space("rtx3050")
    assert len(space.search) == 10
    rate = space.search["training.learning_rate"]
    assert (rate.low, rate.high, rate.log) == (5e-6, 1e-4, True)
    assert space.search["training.effective_batch_size"].choices == [16, 32, 64]
    assert space.card == CardChoice(name="rtx3050", memory="4GiB", virtual=False)
    assert space.base_config().config.model.name == "hfl/chinese-macbert-base"
    assert space.base_config().config.micro_batch_size == 8
    assert (space.budget.trials, space.budget.time_s) == (30, None)


def test_the_quickstart_needs_no_download_and_makes_its_own_data() -> None:
    space = load_space("quickstart")
    assert space.base_config().config.model.name == "builtin:tiny"
    assert space.sample is not None
    assert (space.sample.rows, space.sample.seed) == (3000, 7)
    assert space.final_config({}).training.num_epochs < 10


def test_what_a_space_leaves_out_has_a_default_and_the_budget_is_said(load: Load) -> None:
    space = load(HEAD + RATE)
    assert (space.name, space.seed, space.max_failures) == ("s", 42, 3)
    assert (space.sampler.name, space.pruner.name) == ("TPESampler", "MedianPruner")
    assert (space.finish.retrain, space.finish.template) == (True, "production")
    assert space.budget.trials == 30
    assert space.notes == ["the space names no budget: 30 trials"]


def test_a_budget_is_assumed_only_where_the_command_line_gives_none_either(load: Load) -> None:
    space = load(HEAD + RATE)
    assert space.within() == space
    for given in ({"trials": 5}, {"time_s": 60.0}, {"trials": 5, "time_s": 60.0}):
        within = space.within(**given)
        assert (within.budget.trials, within.budget.time_s) == (given.get("trials"), given.get("time_s"))
        assert within.notes == []
    doubtful = replace(space, notes=["a doubt", *space.notes, "the trials are of different length"])
    assert doubtful.within(trials=5).notes == ["a doubt", "the trials are of different length"]
    named = load(HEAD + RATE + "budget: {trials: 7, target: 0.9}\n").within(time_s=60.0)
    assert (named.budget.trials, named.budget.time_s, named.budget.target) == (7, 60.0, 0.9)


def test_all_problems_are_reported_at_once_in_file_order(refused: Callable[..., list[str]]) -> None:
    text = """\
name: a/b
base: hyperparameter_serch
set:
  training: {learning_rate: 1e-4, num_epoch: 2}
  model.pooling: no
sampl: {rows: 3}
search:
  training.learning_rate: {type: float, low: 1e-3, high: 1e-4}
  training.lr_schedular: {type: categorical, choices: [a]}
  model.dropout_rate: {type: float, low: 0, high: 1.5}
  training.lr_scheduler: {type: categorical, choices: [linear, cosin]}
enqueue:
  - {model.dropout_rate: 2, model.name: x}
budget: {trials: 0, time: 5}
finish: {template: prodction, set: {training.nun_epochs: 2}}
"""
    starts = [
        "s.yaml:1:7: name: 'a/b' cannot name a file",
        "s.yaml:2:7: no template or file 'hyperparameter_serch'; did you mean hyperparameter_search?",
        "s.yaml:4:14: training.learning_rate is searched as well",
        "s.yaml:4:35: unknown key training.num_epoch; did you mean training.num_epochs?",
        "s.yaml:5:18: model.pooling: must be one of cls, mean, last4; no means false in YAML",
        "s.yaml:6:1: sampl: unknown key; did you mean sample?",
        "s.yaml:8:46: training.learning_rate: low 0.001 is above high 0.0001",
        "s.yaml:9:3: unknown key training.lr_schedular; did you mean training.lr_scheduler?",
        "s.yaml:10:51: model.dropout_rate: must be less than 1.0, not 1.5",
        "s.yaml:11:64: training.lr_scheduler: must be one of cosine, linear, polynomial, constant, not",
        "s.yaml:13:26: model.dropout_rate: 2 lies outside 0.0 to 1.5",
        "s.yaml:13:29: model.name is not searched",
        "s.yaml:14:18: budget.trials: must be at least 1, not 0",
        "s.yaml:14:27: budget.time: 5 is no time; write for example 90s, 30m or 2h",
        "s.yaml:15:20: no template 'prodction'; did you mean production?",
        "s.yaml:15:37: unknown key training.nun_epochs; did you mean training.num_epochs?",
        "--set trainin.x: unknown key trainin.x",
    ]
    found = refused(text, trainin__x=1)
    assert len(found) == len(starts)
    for message, start in zip(found, starts, strict=True):
        assert message.startswith(start)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "type: float, low: 0, high: 1, log: true",
            "3:46: training.learning_rate: a logarithmic scale needs low",
        ),
        ("type: float, low: 1, high: 2, log: true, step: 1", "a logarithmic scale takes no step"),
        ("type: float, low: 1, high: 2, step: 0", "must be greater than 0.0, not 0"),
        ("type: float, low: 0.1", "high is missing"),
        ("type: float, low: '1', high: 2", "remove the quotes: 1"),
        ("type: float, low: 1, high: 2, choices: [1]", "unknown key"),
        ("type: floot, low: 1, high: 2", "did you mean float?"),
        ("type: [float], low: 1, high: 2", "type must be one of float, int, categorical"),
        ("low: 1, high: 2", "type is missing"),
        ("type: float, low: 0, high: 1", "must be greater than 0.0, not 0.0"),
        ("type: categorical, choices: []", "too few entries"),
        ("type: categorical, choices: [0.1, 0.1]", "0.1 is listed twice"),
        ("type: categorical, choices: [[0.1]]", "a choice must be a plain word"),
    ],
)
def test_a_dimension_that_cannot_be_searched_is_refused_at_its_place(
    refused: Callable[..., list[str]], line: str, message: str
) -> None:
    text = " ".join(refused(dimension(line)))
    assert text.startswith("s.yaml:3:")
    assert message in text


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("training", "training is a section; write key paths"),
        ("data.batch_size", "write training.batch_size in place of data.batch_size"),
        ("learning_rate", "learning_rate belongs under training"),
        ("training.batch_size", "takes whole numbers; write type: int"),
    ],
)
def test_a_dimension_needs_a_key_path_it_can_be_set_under(
    refused: Callable[..., list[str]], key: str, message: str
) -> None:
    (complaint,) = refused(dimension("type: float, low: 1, high: 2", key=key))
    assert message in complaint


@pytest.mark.parametrize("search", ["", "search:\n", "search: {}\n", "search: []\n"])
def test_an_empty_search_is_one_problem(refused: Callable[..., list[str]], search: str) -> None:
    (complaint,) = refused(HEAD + search)
    assert "search is empty" in complaint


def test_a_condition_names_a_searched_dimension_and_a_value_it_has(refused: Callable[..., list[str]]) -> None:
    text = """\
base: hyperparameter_search
search:
  model.pooling: {type: categorical, choices: [cls, mean], when: {training.clas_weights: none}}
  training.class_weights: {type: categorical, choices: [none, sqrt]}
  model.dropout_rate: {type: float, low: 0, high: 0.2, when: {training.class_weights: [sqrt, balanced]}}
"""
    first, second = refused(text)
    assert first.startswith(
        "s.yaml:3:67: model.pooling: when names training.clas_weights, which is not searched; did"
    )
    assert second.startswith('s.yaml:5:94: model.dropout_rate: training.class_weights never is "balanced"')


def test_conditions_may_not_go_round_in_a_circle(refused: Callable[..., list[str]]) -> None:
    text = """\
base: hyperparameter_search
search:
  model.pooling: {type: categorical, choices: [cls, mean], when: {training.class_weights: none}}
  training.class_weights: {type: categorical, choices: [none, sqrt], when: {model.pooling: cls}}
"""
    assert ["come back to itself" in complaint for complaint in refused(text)] == [True, True]


def test_a_point_may_not_name_what_does_not_exist_there(refused: Callable[..., list[str]]) -> None:
    wrong = CONDITIONAL.replace(
        "{training.class_weights: none}\n", "{training.class_weights: none, training.label_smoothing: 0}\n"
    )
    (complaint,) = refused(wrong)
    assert 'training.label_smoothing does not exist where training.class_weights is "none"' in complaint


def test_a_dimension_takes_its_ends_and_its_grid_only(load: Load) -> None:
    multiplier = load(CONDITIONAL).search["training.head_lr_multiplier"]
    assert [value for value in range(-1, 12) if multiplier.takes(value)] == [1, 3, 5, 7, 9]
    assert not multiplier.takes(1.5)
    assert not multiplier.takes(True)
    assert not multiplier.takes("3")


def test_the_base_may_be_a_file_beside_the_space(load: Load, tmp_path: Path) -> None:
    base = (
        "data: {train_path: rows/train.jsonl}\nmodel: {name: builtin:tiny}\nexperiment: {output_dir: out}\n"
    )
    (tmp_path / "base.yaml").write_text(base, encoding="utf-8")
    space = load("base: base.yaml\n" + RATE)
    assert space.base_config().config.data.train_path == "rows/train.jsonl"
    final = space.final_config({})
    assert (final.data.train_path, final.model.name, final.experiment.output_dir) == (
        "rows/train.jsonl",
        "builtin:tiny",
        "out",
    )


def test_problems_of_the_base_file_are_reported_with_those_of_the_space(
    refused: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "base.yaml").write_text("training: {num_epochs: 0}\n", encoding="utf-8")
    assert [complaint.partition(": ")[0] for complaint in refused("base: base.yaml\nsed: 1\n" + RATE)] == [
        "s.yaml:2:1",
        "base.yaml:1:24",
    ]


def test_a_trial_is_the_base_with_the_settings_and_the_parameters(load: Load) -> None:
    space = load(HEAD + "set:\n  model: {name: builtin:tiny}\n  training.weight_decay: 0.5\n" + RATE)
    config = space.trial_config({"training.learning_rate": 7e-4, "training.effective_batch_size": 64})
    assert (config.model.name, config.training.weight_decay, config.training.learning_rate) == (
        "builtin:tiny",
        0.5,
        7e-4,
    )
    assert config.effective_batch_size == 64
    assert config.training.num_epochs == 4


def test_the_finish_takes_length_from_its_template_and_the_rest_from_the_search(load: Load) -> None:
    space = load(
        "base: rtx3050_optimized\nset: {model.name: builtin:tiny, training.num_epochs: 2,"
        " callbacks.early_stopping_patience: 1, training.label_smoothing: 0.1}\n"
        "finish: {set: {training.weight_decay: 0.2}}\n" + RATE
    )
    config = space.final_config({"training.learning_rate": 7e-4})
    assert (config.training.num_epochs, config.callbacks.early_stopping_patience) == (20, 5)
    assert (config.model.name, config.training.label_smoothing) == ("builtin:tiny", 0.1)
    assert (config.training.learning_rate, config.training.weight_decay) == (7e-4, 0.2)
    assert (config.micro_batch_size, config.effective_batch_size) == (8, 32)
    assert config.model.max_sequence_length == space.base_config().config.model.max_sequence_length


def test_the_finish_can_set_its_own_length(load: Load) -> None:
    space = load(HEAD + "finish: {set: {training: {num_epochs: 3}}}\n" + RATE)
    assert space.final_config({}).training.num_epochs == 3


def test_a_setting_wins_over_the_files_own(load: Load) -> None:
    space = load(HEAD + "set: {model.name: a}\n" + RATE, model__name="b")
    assert space.base_config().config.model.name == "b"
    assert "model.name" not in " ".join(space.notes)


def test_a_setting_on_a_searched_key_fixes_it_and_is_noted(load: Load) -> None:
    space = load(CONDITIONAL, training__class_weights="sqrt")
    assert "training.class_weights" not in space.search
    assert space.search["training.label_smoothing"].when is None
    assert 'training.class_weights is fixed at "sqrt" and not searched' in space.notes
    assert space.enqueue == [{"training.label_smoothing": 0.1}]
    assert space.trial_config({}).training.class_weights == "sqrt"


def test_a_setting_that_rules_out_a_condition_removes_the_dimension(load: Load) -> None:
    space = load(CONDITIONAL, training__class_weights="none")
    assert list(space.search) == ["training.head_lr_multiplier"]
    assert "training.label_smoothing is not searched: its condition cannot be met" in space.notes


def test_settings_that_leave_nothing_to_search_are_refused(refused: Callable[..., list[str]]) -> None:
    (complaint,) = refused(HEAD + RATE, training__learning_rate=1e-4)
    assert "nothing is left to search" in complaint


def test_searching_what_cannot_be_compared_is_noted(load: Load) -> None:
    space = load(HEAD + "search:\n  training.num_epochs: {type: int, low: 1, high: 4}\n")
    assert any(note.startswith("training.num_epochs is searched") for note in space.notes)


def test_the_definition_is_json_and_leaves_out_what_changes_no_result(load: Load) -> None:
    first = load(CONDITIONAL + "budget: {trials: 3}\n").definition()
    second = load(
        CONDITIONAL + "budget: {trials: 9}\n", data__num_workers=3, experiment__output_dir="x"
    ).definition()
    assert json.loads(json.dumps(first, allow_nan=False)) == first == second
    assert set(first) == {"config", "search", "sampler", "pruner", "seed"}


@pytest.mark.parametrize(
    "change",
    ["seed: 1\n", "sampler: RandomSampler\n", "set: {model.name: x}\n", "pruner: {name: NopPruner}\n"],
)
def test_the_definition_tells_studies_apart_that_do_not_compare(load: Load, change: str) -> None:
    assert load(CONDITIONAL + change).definition() != load(CONDITIONAL).definition()


def test_an_error_points_at_its_key_or_the_nearest_that_is_there(load: Load) -> None:
    space = load(HEAD + RATE + "sampler: {name: X, args: {a: 1}}\n")
    assert str(space.problem_at(("sampler", "name"), "unknown")).endswith("s.yaml:4:17: unknown")
    assert str(space.place(("sampler", "args", "b"))).endswith("s.yaml:4:26")


def test_a_space_survives_pickling_and_can_be_renamed(load: Load) -> None:
    space = load(CONDITIONAL)
    copy = pickle.loads(pickle.dumps(space))
    assert copy.definition() == space.definition()
    assert replace(space, name="other").name == "other"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("rtx3050", CardChoice(name="rtx3050")),
        ("4GiB", CardChoice(memory="4GiB")),
        ("RTX 3050 4 GiB", CardChoice(name="RTX 3050", memory="4 GiB")),
        ("{memory: 300MiB, virtual: true}", CardChoice(memory="300MiB", virtual=True)),
    ],
)
def test_a_card_is_a_few_words_or_a_mapping(load: Load, card: str, expected: CardChoice) -> None:
    assert load(f"{HEAD}card: {card}\n{RATE}").card == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h 30m", 5400), ("1.5h", 5400), ("1d", 86400), ("1s", 1)],
)
def test_a_time_is_a_number_with_its_unit(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "2 hours", "0s", 5, "-3m", "h"])
def test_a_time_without_number_or_unit_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds(text)


def test_a_name_that_is_neither_file_nor_bundled_lists_the_bundled() -> None:
    with pytest.raises(ConfigError, match=r"no space file quikstart; did you mean quickstart\?.*rtx3050"):
        load_space("quikstart")


def test_a_space_that_is_no_yaml_is_one_problem(refused: Callable[..., list[str]]) -> None:
    (complaint,) = refused("base: [\n")
    assert "not YAML" in complaint


@pytest.mark.parametrize("name", ["con", "Nul.yaml", "COM1", "study.", "a/b", ".hidden", ""])
def test_a_name_that_no_file_can_have_everywhere_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a file"):
        require_file_name(name)


@pytest.mark.parametrize("name", ["x", "rtx3050", "霸凌.v2", "console", "a_b-c", "com10x"])
def test_every_other_name_is_taken(name: str) -> None:
    assert require_file_name(name) == name


CONFIRM = "confirm: {top_k: 2, seeds: 1}"


@pytest.mark.parametrize(
    "line",
    [
        f"finish: {{{CONFIRM}, ensemble: 2}}",
        f"finish: {{{CONFIRM}, retrain_on: train+val}}",
        "finish: {confirm: off, retrain_on: train}",
        "budget: {trials: 1, target: 1}",
        "seed: 4294967295",
    ],
)
def test_a_value_at_its_bound_is_taken(load: Load, line: str) -> None:
    assert load(f"{HEAD}{line}\n{RATE}")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"finish: {{{CONFIRM}, ensemble: 1}}", "ensemble"),
        (f"finish: {{{CONFIRM}, ensemble: 3}}", "3 members, but confirm.top_k is 2"),
        ("finish: {confirm: off, ensemble: 2}", "an ensemble is made of confirmed trials"),
        ("finish: {confirm: off, retrain_on: train+val}", "train+val leaves no validation rows"),
        ("finish: {confirm: {top_k: 2, seeds: 0}}", "seeds"),
        ("budget: {trials: 3, target: 0}", "target"),
        ("budget: {trials: 3, target: 1.5}", "target"),
        ("seed: 4294967296", "seed"),
    ],
)
def test_a_value_past_its_bound_is_refused(
    refused: Callable[..., list[str]], line: str, complaint: str
) -> None:
    (found,) = refused(f"{HEAD}{line}\n{RATE}")
    assert complaint in found


def test_the_finish_can_be_given_another_template_and_keeps_what_the_space_sets(load: Load) -> None:
    space = load(HEAD + "finish: {set: {training.weight_decay: 0.2}}\n" + RATE)
    quick = space.finished_with("fast_dev")
    assert quick.finish.template == "fast_dev"
    assert quick.final_config({}).training.num_epochs == 3
    assert quick.final_config({}).training.weight_decay == 0.2
    with pytest.raises(ConfigError, match=r"no template 'fastdev'.*fast_dev"):
        space.finished_with("fastdev")


def test_how_the_base_trains_is_not_carried_into_the_finish(load: Load, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("training: {evaluations_per_epoch: 7}\n", encoding="utf-8")
    space = load("base: base.yaml\n" + RATE)
    assert space.base_config().config.training.evaluations_per_epoch == 7
    assert space.final_config({}).training.evaluations_per_epoch != 7


def test_a_grid_begins_at_its_low_end(load: Load) -> None:
    found = load(dimension("type: int, low: 1, high: 9, step: 3", key="training.num_epochs")).search
    assert [value for value in range(12) if found["training.num_epochs"].takes(value)] == [1, 4, 7]


def test_a_whole_number_without_a_step_is_whole(load: Load) -> None:
    found = load(dimension("type: int, low: 1, high: 9", key="training.num_epochs")).search
    assert found["training.num_epochs"].takes(2)
    assert not found["training.num_epochs"].takes(2.5)


def test_a_logarithmic_scale_below_zero_is_refused(refused: Callable[..., list[str]]) -> None:
    complaints = refused(dimension("type: float, low: -1, high: 1, log: true", key="training.weight_decay"))
    assert any("needs low above 0, not -1" in complaint for complaint in complaints)


@pytest.mark.parametrize("text", ["limits: {retries: -1}\n", "max_failures: 0\n"])
def test_counts_below_what_makes_sense_are_refused(refused: Callable[..., list[str]], text: str) -> None:
    (line,) = refused(HEAD + RATE + text)
    assert "greater than or equal to" in line or "at least" in line
