"""Where a model comes from: builtin, a local directory, or the hub; and whether it can be had."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import ModelError

TINY = "builtin:tiny"


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
    elif Path(name).is_dir():
        _require_directory(Path(name))
    elif _looks_like_a_path(name):
        raise ModelError(f"model.name: the directory {name} does not exist")
    else:
        _require_hub(name)


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name


def _require_directory(directory: Path) -> None:
    if not (directory / "config.json").is_file():
        raise ModelError(
            f"model.name: {directory} is no model: it has no config.json "
            "(expected a directory as written by save_pretrained)"
        )
    if not any(directory.glob("*.safetensors")) and not any(directory.glob("pytorch_model*.bin")):
        raise ModelError(f"model.name: {directory} has a config.json but no weights (model.safetensors)")


def _require_hub(name: str) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        hf_hub_download(name, "config.json")
    except HFValidationError as error:
        raise ModelError(f"model.name: {name!r} is neither a directory nor a hub id ({error})") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(_missing(name)) from error


def _missing(name: str) -> str:
    return (
        f"model.name: {name} is not in the local cache and the hub cannot be reached. Three ways to get it: "
        f"(1) go online and run the same command again; (2) on a machine that is online run "
        f"`hf download {name}` and copy its cache (~/.cache/huggingface) here; "
        f"(3) put the model's files in a directory and add --set model.name=DIRECTORY"
    )
