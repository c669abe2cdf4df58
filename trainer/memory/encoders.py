"""The shape of an encoder from its config.json alone: what a plan needs to know of a model.

transformers is imported when a shape is asked for, not with this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from trainer.config.yaml import closest
from trainer.errors import ModelError
from trainer.model.source import is_builtin, require_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

TABLE = Path(__file__).with_name("encoders.yaml")

#: families whose position ids start at pad_token_id + 1
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert"})

#: rates that training leaves as they are
_OWN_DROPOUTS = frozenset({"pooler_dropout", "summary_last_dropout"})

#: ASCII letters and digits: continuation pieces that builtin:tiny may have beside its characters
_CONTINUATIONS = 36


def encoder_shape(name: str) -> PreTrainedConfig:
    """The transformers configuration of the model called `name`; neither weights nor network are needed.

    From a directory that may hold a config.json and nothing else, the hub's local cache, the table of common
    encoders, or for a builtin model from its code with the largest vocabulary it may get.

    Raises:
        ModelError: the name is in none of them, or what is there is no text classifier.
    """
    if is_builtin(name):
        return _builtin(name)
    directory = Path(name).expanduser()
    found = directory if directory.is_dir() else _cached(name)
    return _usable(name, _read(name, found) if found else _from_table(name))


def known_encoders() -> dict[str, dict[str, Any]]:
    """encoders.yaml: name -> keys of the transformers configuration."""
    table: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def longest_text(shape: PreTrainedConfig) -> int | None:
    """Tokens that the encoder has positions for; None: no limit.

    RoBERTa counts positions from behind its padding id.
    """
    positions: int | None = getattr(shape, "max_position_embeddings", None)
    if positions and shape.model_type in _OFFSET_POSITIONS:
        return positions - int(shape.pad_token_id or 0) - 1
    return positions if positions and positions > 0 else None  # XLNet says -1


def with_dropout(shape: PreTrainedConfig, rate: float) -> PreTrainedConfig:
    """`shape` with the dropout rates that training sets at `rate`."""
    for key, value in shape.to_dict().items():
        if "dropout" in key and key not in _OWN_DROPOUTS and (value is None or isinstance(value, float)):
            setattr(shape, key, rate)
    return shape


def _builtin(name: str) -> PreTrainedConfig:
    require_model(name)
    from trainer.model.tiny import MAX_VOCABULARY, SPECIAL, tiny_config

    return tiny_config(len(SPECIAL) + MAX_VOCABULARY + _CONTINUATIONS)


def _cached(name: str) -> Path | None:
    """The directory of `name`'s config.json in the hub's cache; its weights need not be there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise ModelError(f"model.name: {name!r} is neither a directory nor the name of a model") from error
    return Path(found).parent if isinstance(found, str) else None


def _read(name: str, directory: Path) -> PreTrainedConfig:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    if not (directory / "config.json").is_file():
        raise ModelError(f"model.name: {name} holds no config.json; that file is all that planning needs")
    try:
        # Code that comes with a model is never run, nor is the user asked whether it may be.
        return AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError, TypeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model.name: {name} has no usable config.json: {reason}") from error


def _from_table(name: str) -> PreTrainedConfig:
    from transformers import AutoConfig

    known = known_encoders()
    if name not in known:
        raise ModelError(_unknown(name, known))
    settings = dict(known[name])
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def _usable(name: str, shape: PreTrainedConfig) -> PreTrainedConfig:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    if type(shape) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ModelError(
            f"model.name: {name} is a {shape.model_type}, which transformers cannot classify with"
        )
    if shape.is_encoder_decoder or getattr(shape, "pad_token_id", None) is None:
        lack = "has a decoder" if shape.is_encoder_decoder else "has no padding token (pad_token_id)"
        raise ModelError(f"model.name: {name} {lack}; what is fine-tuned here is an encoder such as BERT")
    sizes = {key: getattr(shape, key, None) for key in ("hidden_size", "num_attention_heads", "vocab_size")}
    if bad := [key for key, size in sizes.items() if not isinstance(size, int) or size < 1]:
        raise ModelError(f"model.name: the config.json of {name} has no sensible {', '.join(bad)}")
    if shape.hidden_size % shape.num_attention_heads:
        raise ModelError(
            f"model.name: the config.json of {name} cannot be right: a width of {shape.hidden_size} does "
            f"not divide into {shape.num_attention_heads} heads"
        )
    return shape


def _unknown(name: str, known: dict[str, dict[str, Any]]) -> str:
    near = closest(name, list(known))
    meant = f" (did you mean {near}?)" if near else ""
    return (
        f"model.name: {name} is neither in the local cache nor among the shapes that come with "
        f"cp-search{meant}. Ways to plan it: (1) `hf download {name} config.json`; (2) put its config.json "
        f"alone into a directory and name that; (3) one of {', '.join(known)}"
    )
