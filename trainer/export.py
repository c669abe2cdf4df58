"""From an experiment directory to a model directory that plain transformers loads.

One task gives an ordinary text-classification model. Several tasks give one whose logits stand
side by side, named task/class (docs/decisions/0005). Mean pooling becomes one more encoder layer.
`last4` pooling has no equal in transformers' own classes and is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from trainer.appraisal import Exported
from trainer.assess.rule import Floats, Rule, plain_rule, ruled_logits
from trainer.config.schema import Config
from trainer.data.tasks import Task
from trainer.errors import CpSearchError, UserError
from trainer.experiment import Experiment, load_run_config
from trainer.files import flush, write_json, write_text
from trainer.fold import fold
from trainer.model.build import empty_model
from trainer.model.classifier import Classifier
from trainer.model_card import CardFacts, model_card
from trainer.predict import FACTS

#: how far a reloaded model's logits may lie from the trained one's, float32
TOLERANCE = 1e-3

#: factor on the mean in the layer that stands for mean pooling: the residual it drowns is 1e-6 of
#: it, and a power of two loses no bits
MEAN_SCALE = float(2**20)


class ExportDiffers(CpSearchError):
    """The exported model, loaded again, does not say what the trained one says."""


@dataclass(frozen=True)
class ExportExtras:
    """What an export carries beside the model.

    rule: folded into the last layer; None: plain argmax. facts: for the model card and cp_search.json.
    """

    rule: Rule | None = None
    facts: CardFacts = field(default_factory=CardFacts)


def export_model(
    run_directory: Path, *, to: Path, texts: Sequence[str], extras: ExportExtras | None = None
) -> Exported:
    """Write the run's final model to `to`, load it back with transformers alone, and compare.

    texts: real texts on which the trained and the reloaded model must agree. The decision rule is folded
    into the last layer: labels and probabilities of the directory are those of the rule.

    Raises:
        UserError: no finished run in `run_directory`, its pooling cannot be exported, or `to` holds
            something that is no earlier export.
        ExportDiffers: the reloaded model's logits differ by more than `TOLERANCE`.
    """
    logging.disable_progress_bar()
    require_replaceable(to)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = load_run_config(run_directory)
    experiment = Experiment(run_directory, config)
    tasks = tasks_of(run_directory)
    extras = extras or ExportExtras()
    rule = extras.rule or plain_rule(tasks)
    model = load_final(experiment, tasks)
    expected = _ruled_logits(model, experiment, texts, rule)
    tokenizer = AutoTokenizer.from_pretrained(experiment.tokenizer)
    building = to.with_name(f".{to.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    net = standard_model(model)
    fold(net, rule)
    net.save_pretrained(building)
    tokenizer.model_max_length = config.model.max_sequence_length
    tokenizer.save_pretrained(building)
    shutil.copyfile(experiment.final_model, building / experiment.final_model.name)
    write_json(building / FACTS, _facts(config, tasks) | {"decision": asdict(rule)} | extras.facts.as_dict())
    write_text(building / "README.md", model_card(config, tasks=tasks, facts=extras.facts, rule=rule))
    difference = _difference(expected, building, texts)
    if not difference <= TOLERANCE:  # also NaN
        raise ExportDiffers(
            f"reloaded logits differ by {difference:.2g} (allowed {TOLERANCE:g}); see {building}"
        )
    flush(building)
    shutil.rmtree(to, ignore_errors=True)
    building.replace(to)
    return Exported(to, difference, len(texts))


def require_replaceable(to: Path) -> None:
    """Raise `UserError` if `to` holds something that no export made."""
    if to.is_file() or (to.is_dir() and any(to.iterdir()) and not (to / FACTS).is_file()):
        raise UserError(f"{to} exists and is no exported model; choose another directory for the export")


def load_final(experiment: Experiment, tasks: Sequence[Task]) -> Classifier:
    """The trained classifier of a finished run, in evaluation mode.

    Raises:
        UserError: the run left no final_model.pt or no tokenizer.
    """
    if not experiment.final_model.is_file():
        raise UserError(f"{experiment.directory} holds no finished run (no final_model.pt)")
    tokenizer = AutoTokenizer.from_pretrained(experiment.tokenizer)
    model = empty_model(experiment.config.model, tasks=tasks, vocabulary_size=len(tokenizer))
    model.net.load_state_dict(torch.load(experiment.final_model, weights_only=True))
    return model.eval()


def standard_model(model: Classifier) -> PreTrainedModel:
    """A transformers model whose own forward gives this classifier's logits.

    Raises:
        UserError: `last4` pooling, or `mean` on a family whose layers are not BERT's.
    """
    if model.pooling == "cls":
        return model.net
    if model.pooling == "mean" and _has_bert_layers(model.net):
        return _with_mean_layer(model.net)
    raise UserError(
        f"pooling {model.pooling!r} of a {model.net.config.model_type} model has no equal in transformers; "
        "train with model.pooling: cls (or mean, for the BERT family) to export it"
    )


def _has_bert_layers(net: PreTrainedModel) -> bool:
    layers = getattr(getattr(net.base_model, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or getattr(net.config, "relative_attention", False):
        return False
    try:
        last: Any = layers[-1]
        return all(
            isinstance(part, nn.Linear)
            for part in (last.attention.self.query, last.attention.output.dense, last.intermediate.dense)
        )
    except (AttributeError, IndexError):
        return False


@torch.no_grad()
def _with_mean_layer(net: PreTrainedModel) -> PreTrainedModel:
    """`net` and one more layer that puts the normalised mean of all tokens at every position.

    Queries and keys of zero give uniform attention over the text's tokens; values scaled by
    `MEAN_SCALE` drown the residual; a feed-forward part of zero adds nothing; both LayerNorms
    without affine weights normalise, the second one what is normalised already.
    """
    config = type(net.config).from_dict(
        net.config.to_dict() | {"num_hidden_layers": net.config.num_hidden_layers + 1}
    )
    config.architectures = [type(net).__name__]
    longer = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    missing, unexpected = longer.load_state_dict(net.state_dict(), strict=False)
    layer = longer.base_model.encoder.layer[-1]
    if unexpected or len(missing) != len(layer.state_dict()):
        raise ExportDiffers(f"the mean layer does not fit this model: {missing} {unexpected}")
    for parameter in layer.parameters():
        parameter.zero_()
    width = config.hidden_size
    layer.attention.self.value.weight.copy_(torch.eye(width) * MEAN_SCALE)
    layer.attention.output.dense.weight.copy_(torch.eye(width))
    layer.attention.output.LayerNorm.weight.fill_(1.0)
    layer.output.LayerNorm.weight.fill_(1.0)
    return longer.eval()


@torch.inference_mode()
def _ruled_logits(
    model: Classifier, experiment: Experiment, texts: Sequence[str], rule: Rule
) -> list[Floats]:
    """What the trained model says of `texts`, by batches of 32, under the rule."""
    tokenizer = AutoTokenizer.from_pretrained(experiment.tokenizer)
    longest = experiment.config.model.max_sequence_length
    found = []
    for batch in _batches(texts, tokenizer, max_length=longest):
        logits_BC = model(batch["input_ids"], batch["attention_mask"])
        found.append(ruled_logits(logits_BC.numpy(), rule))
    return found


@torch.inference_mode()
def _difference(expected: Sequence[Floats], directory: Path, texts: Sequence[str]) -> float:
    """Largest difference between these logits and those of the directory loaded afresh."""
    fresh = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    differences = []
    for mine_BC, batch in zip(expected, _batches(texts, tokenizer), strict=True):
        ids_BL, mask_BL = batch["input_ids"], batch["attention_mask"]
        there_BC: Tensor = fresh(input_ids=ids_BL, attention_mask=mask_BL).logits
        differences.append(np.abs(there_BC.numpy() - mine_BC).max())
    return float(np.max(differences))  # NaN stays NaN, which Python's max would lose


def _batches(texts: Sequence[str], tokenizer: Any, *, max_length: int | None = None) -> Iterator[Any]:
    for start in range(0, len(texts), 32):
        part = list(texts[start : start + 32])
        yield tokenizer(part, padding=True, truncation=True, max_length=max_length, return_tensors="pt")


def tasks_of(run_directory: Path) -> tuple[Task, ...]:
    """The tasks a finished run was trained on.

    Raises:
        UserError: no finished run in `run_directory`.
    """
    try:
        summary = json.loads((run_directory / "training_summary.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{run_directory} holds no finished run: {error}") from error
    weights = summary["task_weights"]
    return tuple(Task(name, tuple(classes), weights[name]) for name, classes in summary["tasks"].items())


def _facts(config: Config, tasks: Sequence[Task]) -> dict[str, Any]:
    return {
        "tasks": {task.name: list(task.classes) for task in tasks},
        "max_sequence_length": config.model.max_sequence_length,
        "base_model": config.model.name,
        "pooling": config.model.pooling,
    }
