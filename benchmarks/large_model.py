"""Fine-tune a model of BERT-large's shape on a virtual card of 4 GiB: does it really stay within?

    python -m benchmarks.large_model --card 4GiB --length 512 --effective-batch 32 --steps 1

The model has random weights (its memory is that of a trained one); texts fill every token. Arithmetic
is float32 on the CPU, which needs more memory than fp16 on a GPU would. Prints the plan, the measures,
the measured peak and the time; exits 1 if the run did not complete within the card.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from transformers import AutoModelForSequenceClassification, BertConfig

from trainer.config.schema import Config, DataConfig, ExperimentConfig, ModelConfig, TrainingConfig
from trainer.memory.card import parse_card
from trainer.model.tiny import tiny_tokenizer
from trainer.runner import run

#: shapes as published in the models' config.json
SHAPES = {
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
}
VOCABULARY = 21128
CHARACTERS = "".join(chr(0x4E00 + index) for index in range(2000))


class Lines:
    """An observer that prints what a run says, and every step."""

    def say(self, line: str) -> None:
        print(line, flush=True)

    def progress(self, done: int, total: int, status: str) -> None:
        print(f"{done}/{total} {status}", flush=True)

    def interrupted(self) -> bool:
        return False


def write_model(directory: Path, shape: str) -> None:
    """A model directory of this shape with random weights, and a character tokenizer."""
    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=512, **SHAPES[shape])
    AutoModelForSequenceClassification.from_config(config).save_pretrained(directory)
    tiny_tokenizer([CHARACTERS]).save_pretrained(directory)


def write_rows(path: Path, *, rows: int, length: int, seed: int) -> None:
    """Rows whose texts fill `length` tokens."""
    draw = random.Random(seed)
    lines = [
        json.dumps({"text": "".join(draw.choices(CHARACTERS, k=length)), "labels": index % 2})
        for index in range(rows)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def config_for(directory: Path, *, length: int, effective: int) -> Config:
    """One epoch over the rows in `directory`."""
    return Config(
        model=ModelConfig(name=str(directory / "model"), max_sequence_length=length),
        data=DataConfig(
            train_path=str(directory / "train.jsonl"),
            val_path=str(directory / "val.jsonl"),
            cache_dir=str(directory / "cache"),
        ),
        training=TrainingConfig(num_epochs=1, batch_size=8, effective_batch_size=effective),
        experiment=ExperimentConfig(
            output_dir=str(directory / "runs"), name="large", checkpoint_interval_s=1e9
        ),
    )


def main() -> int:
    """Run once and print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), default="large")
    parser.add_argument("--card", default="4GiB")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--effective-batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_model(directory / "model", arguments.shape)
        rows = arguments.effective_batch * arguments.steps
        write_rows(directory / "train.jsonl", rows=rows, length=arguments.length, seed=1)
        write_rows(directory / "val.jsonl", rows=2, length=arguments.length, seed=2)
        config = config_for(directory, length=arguments.length, effective=arguments.effective_batch)
        card = parse_card(arguments.card, virtual=True)
        started = time.monotonic()
        outcome = run(config, card=card, observer=Lines())
        seconds = time.monotonic() - started
    figures = {
        "status": outcome.status,
        "steps": outcome.steps,
        "limit_mib": round(card.limit_bytes / 2**20, 1),
        "predicted_mib": round((outcome.predicted_peak_bytes or 0) / 2**20, 1),
        "measured_mib": round((outcome.measured_peak_bytes or 0) / 2**20, 1),
        "measures": outcome.measures,
        "seconds": round(seconds),
    }
    print(json.dumps(figures, indent=2))
    return 0 if outcome.status == "completed" else 1


if __name__ == "__main__":
    sys.exit(main())
