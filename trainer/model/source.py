"""Where a model comes from: builtin, a local directory, or the hub; and whether it can be had."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from trainer.errors import ModelError

TINY = "builtin:tiny"

#: families whose layers are BERT's, to which `export` can add one that takes the mean
MEAN_EXPORTS = frozenset({"bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"})

#: patience with the hub when a study starts
HUB_TIMEOUT_S = 10.0


def is_builtin(name: str) -> bool:
    """True for models this package makes itself."""
    return name.startswith("builtin:")


def require_model(name: str) -> None:
    """Check, without loading it, that the model called `name` can be had here.

    Raises:
        ModelError: no such builtin, a directory that holds no model, or a hub id that is neither
            in the local cache nor reachable; the message names the ways to get it.
    """
    if is_builtin(name):
        if name != TINY:
            raise ModelError(f"model.name: there is no {name}; the only builtin model is {TINY}")
    elif Path(name).expanduser().is_dir():
        _require_directory(Path(name).expanduser())
    elif _looks_like_a_path(name):
        raise ModelError(f"model.name: the directory {name} does not exist")
    elif cached(name) is None:
        _require_hub(name)


def located(name: str) -> str:
    """What to hand to from_pretrained: a directory wherever the files are on this machine.

    A model in the hub's cache is read from there without asking the hub anything, so that every
    trial of a study starts at once, offline too, from the same revision.
    """
    if is_builtin(name):
        return name
    directory = Path(name).expanduser()
    return str(directory if directory.is_dir() else cached(name) or name)


def cached(name: str) -> Path | None:
    """The snapshot of hub id `name` in the local cache, if its configuration and weights are there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise ModelError(f"model.name: {name!r} is neither a directory nor a hub id ({error})") from error
    if not isinstance(found, str):
        return None
    snapshot = Path(found).parent
    return snapshot if _has_weights(snapshot) else None


def exportable(name: str, *, pooling: str) -> bool:
    """Whether a model trained with `pooling` can be written as plain transformers' own classes.

    True as well where the model's family is not known yet (a hub id that is not in the cache).
    """
    if pooling == "mean":
        family = _family(name)
        return family is None or family in MEAN_EXPORTS
    return pooling == "cls"


def _family(name: str) -> str | None:
    if is_builtin(name):
        return "bert"
    try:
        settings = json.loads((Path(located(name)) / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ModelError(f"model.name: the config.json of {name} is not JSON: {error}") from error
    found: str | None = settings.get("model_type")
    return found


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def _require_directory(directory: Path) -> None:
    if not (directory / "config.json").is_file():
        raise ModelError(
            f"model.name: {directory} is no model: it has no config.json "
            "(expected a directory as written by save_pretrained)"
        )
    if not _has_weights(directory):
        raise ModelError(f"model.name: {directory} has a config.json but no weights (model.safetensors)")


def _has_weights(directory: Path) -> bool:
    return any(directory.glob("*.safetensors")) or any(directory.glob("pytorch_model*.bin"))


def _require_hub(name: str) -> None:
    """One question to the hub, asked once: its own client would retry for half a minute."""
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.is_offline_mode():
        raise ModelError(_missing(name, "HF_HUB_OFFLINE is set"))
    token = get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = Request(hf_hub_url(name, "config.json"), headers=headers, method="HEAD")
    try:
        with urlopen(request, timeout=HUB_TIMEOUT_S):
            return
    except HTTPError as error:
        raise ModelError(_missing(name, f"the hub answers {error.code} {error.reason}")) from error
    except OSError as error:
        raise ModelError(_missing(name, "the hub cannot be reached")) from error


def _missing(name: str, why: str) -> str:
    return (
        f"model.name: {name} is not in the local cache and {why}. Three ways to get it: "
        f"(1) check the name, go online and run the same command again; (2) on a machine that is online run "
        f"`hf download {name}` and copy its cache (~/.cache/huggingface) here; "
        f"(3) put the model's files in a directory and add --set model.name=DIRECTORY"
    )
