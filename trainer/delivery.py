"""Bringing an export elsewhere: another directory, or the hub."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainer.appraisal import Exported
from trainer.ensemble import open_predictor
from trainer.errors import UserError
from trainer.export import ExportDiffers, require_replaceable

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")

#: how far probabilities of the copy may lie from the original's: they are the same bytes
TOLERANCE = 1e-6


def copy_export(source: Path, *, to: Path, texts: Sequence[str]) -> Exported:
    """Copy the export (of one model or an ensemble) in `source` to `to`, and compare it there on `texts`.

    Raises:
        UserError: `to` holds something that is no export. ModelError: `source` cannot be loaded.
        ExportDiffers: the copy says something else.
    """
    require_replaceable(to)
    building = to.with_name(f".{to.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(source, building)
    there, here = (open_predictor(one).probabilities(texts) for one in (source, building))
    apart = max(float(np.abs(there[task] - here[task]).max(initial=0.0)) for task in there)
    if not apart <= TOLERANCE:  # also NaN
        raise ExportDiffers(f"the copy in {building} differs by {apart:.2g} from {source}")
    shutil.rmtree(to, ignore_errors=True)
    building.replace(to)
    return Exported(to, apart, len(texts))


def require_hub(repo: str) -> None:
    """Check, before anything is made, that `repo` can be pushed to as far as can be known here.

    Raises:
        UserError: it is no repository's name, the hub is switched off, or nobody is logged in.
    """
    from huggingface_hub import constants, get_token

    if not _REPOSITORY.fullmatch(repo):
        raise UserError(f"--push-to-hub {repo}: write OWNER/NAME")
    if constants.is_offline_mode():
        raise UserError("--push-to-hub: HF_HUB_OFFLINE is set; unset it, or copy the directory by hand")
    if get_token() is None:
        raise UserError("--push-to-hub: nobody is logged in to the hub; run hf auth login, or set HF_TOKEN")


def push_export(directory: Path, *, repo: str) -> str:
    """Upload the export in `directory` to the hub (a new repository is private); the commit's address.

    Raises:
        UserError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        api.create_repo(repo, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=directory, commit_message="Add the model exported by cp-search"
        )
    except HfHubHTTPError as error:
        raise UserError(
            f"--push-to-hub {repo}: the hub refuses: {error}; the export is in {directory}"
        ) from error
    except OSError as error:
        why = f"the hub cannot be reached ({error})"
        raise UserError(f"--push-to-hub {repo}: {why}; the export is in {directory}") from error
    return str(commit.commit_url)
