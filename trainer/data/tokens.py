"""Token ids of a data set: made once per (texts, tokenizer), then memory-mapped by every trial."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError, ModelError
from trainer.files import write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

#: Part of every cache key; raise it when what is stored changes.
FORMAT = 1

#: Longest row kept, special tokens included, when the tokenizer states no sensible limit.
DEFAULT_LIMIT = 512

_CHUNK_TEXTS = 4096
_ABANDONED_S = 24 * 3600


@dataclass(frozen=True)
class Tokens:
    """Content ids of all rows, flat and without special tokens; row i is `ids[offsets[i]:offsets[i + 1]]`.

    limit: longest row the tokenizer allows, special tokens included. One content id more than that is
    stored, so that a row which was cut can be told from one which just fits.
    unk_rate: share of stored ids that are the unknown token.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    limit: int = DEFAULT_LIMIT
    unk_rate: float = 0.0

    def __len__(self) -> int:
        """How many rows."""
        return len(self.offsets) - 1

    def lengths(self, max_length: int) -> NDArray[np.int64]:
        """Tokens of each row [N], special tokens included, cut to `max_length`."""
        return np.minimum(self._full_lengths(), self._cut(max_length))

    def row(self, index: int, max_length: int) -> NDArray[np.int32]:
        """Ids of one row with its special tokens, content cut so that all fits `max_length`."""
        room = self._cut(max_length) - len(self.prefix) - len(self.suffix)
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        content = self.ids[start : min(end, start + room)]
        return np.concatenate([self.prefix, content, self.suffix]).astype(np.int32)

    def truncated(self, max_length: int) -> int:
        """How many rows lose content at `max_length`."""
        return int((self._full_lengths() > self._cut(max_length)).sum())

    def _full_lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets) + len(self.prefix) + len(self.suffix)

    def _cut(self, max_length: int) -> int:
        specials = len(self.prefix) + len(self.suffix)
        if max_length <= specials:
            raise ValueError(f"max_length {max_length} leaves no room beside {specials} special tokens")
        return min(max_length, self.limit)


def tokenise(
    texts: Sequence[str], *, tokenizer: PreTrainedTokenizerBase, cache_dir: Path, key: str = ""
) -> Tokens:
    """Token ids of `texts`, from the cache or made now and cached.

    `key` is anything else the entry should depend on. Texts and tokenizer are part of the cache key in any
    case, so a wrong `key` never gives wrong ids. Safe against other processes that build the same entry and
    against one that died over it.
    Raises `ModelError` for a tokenizer that cannot pad, `DataError` for a cache that cannot be used.
    """
    directory = cache_dir / _digest([str(FORMAT), key, tokenizer_digest(tokenizer), *texts])
    if not directory.exists():
        _build(directory, texts=texts, tokenizer=tokenizer)
    return _open(directory, rows=len(texts))


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of everything that decides ids: the backend's serialisation, without its call state."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        state = {
            "class": type(tokenizer).__name__,
            "vocab": tokenizer.get_vocab(),
            "kwargs": tokenizer.init_kwargs,
        }
    else:
        state = {"backend": _serialised(backend)}
    state["limit"], state["pad"] = _limit(tokenizer), tokenizer.pad_token_id
    return _digest([json.dumps(state, sort_keys=True, default=str)])


def _serialised(backend: Tokenizer) -> str:
    """Everything the backend is made of, without what calls leave in it: truncation and padding."""
    if backend.truncation is not None or backend.padding is not None:
        backend = type(backend).from_str(backend.to_str())
        backend.no_truncation()
        backend.no_padding()
    return str(backend.to_str())


def special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids the tokenizer puts before and behind one text, found by asking it. Raises `ModelError`."""
    content = list(tokenizer("中", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("中")["input_ids"])
    for start in range(len(whole) - len(content) + 1):
        if content and whole[start : start + len(content)] == content:
            return tuple(whole[:start]), tuple(whole[start + len(content) :])
    raise ModelError("the tokenizer changes a text when it adds special tokens; choose another model.name")


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()


def _limit(tokenizer: PreTrainedTokenizerBase) -> int:
    # Tokenizers without a limit of their own carry 1e30.
    stated = int(tokenizer.model_max_length)
    return stated if 0 < stated <= 1_000_000 else DEFAULT_LIMIT


def _build(directory: Path, *, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the entry in a directory of its own and move it in place whole."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        message = (
            f"cannot hold the token cache ({error.strerror}); set data.cache_dir to a writable directory"
        )
        raise DataError(message, file=directory.parent) from error
    try:
        _write(temporary, texts=texts, tokenizer=tokenizer)
        _move(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, directory: Path) -> None:
    try:
        temporary.replace(directory)
    except OSError:
        # Another process was first: its entry has the same content as ours.
        if not directory.is_dir():
            raise


def _sweep(directory: Path) -> None:
    """Remove what builders of this entry left when they died, a day ago or more."""
    for left in directory.parent.glob(f".{directory.name}.*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)


def _write(directory: Path, *, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.pad_token_id is None:
        raise ModelError("the tokenizer has no padding token; choose another model.name")
    prefix, suffix = special_ids(tokenizer)
    limit = _limit(tokenizer)
    rows = _content(texts, tokenizer=tokenizer, keep=limit - len(prefix) - len(suffix) + 1)
    ids = np.concatenate([np.empty(0, np.int32), *rows])
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    unknown = int((ids == tokenizer.unk_token_id).sum()) if tokenizer.unk_token_id is not None else 0
    _save(directory / "ids.npy", ids)
    _save(directory / "offsets.npy", offsets)
    meta = {"prefix": prefix, "suffix": suffix, "pad_id": tokenizer.pad_token_id, "limit": limit}
    meta["unk_rate"] = unknown / max(1, len(ids))
    write_json(directory / "meta.json", meta)


def _content(
    texts: Sequence[str], *, tokenizer: PreTrainedTokenizerBase, keep: int
) -> list[NDArray[np.int32]]:
    rows: list[NDArray[np.int32]] = []
    for start in range(0, len(texts), _CHUNK_TEXTS):
        chunk = list(texts[start : start + _CHUNK_TEXTS])
        encoded = tokenizer(chunk, add_special_tokens=False, truncation=True, max_length=keep)["input_ids"]
        rows.extend(np.asarray(row, dtype=np.int32) for row in encoded)
    return rows


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as stream:
        np.save(stream, array)
        stream.flush()
        os.fsync(stream.fileno())


def _open(directory: Path, *, rows: int) -> Tokens:
    try:
        meta = json.loads((directory / "meta.json").read_text(encoding="utf-8"))
        ids = np.load(directory / "ids.npy", mmap_mode="r")
        offsets = np.load(directory / "offsets.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError("the token cache is damaged; delete this directory", file=directory) from error
    if len(offsets) != rows + 1 or offsets[-1] != len(ids):
        raise DataError("the token cache is damaged; delete this directory", file=directory)
    prefix, suffix = tuple(meta.pop("prefix")), tuple(meta.pop("suffix"))
    return Tokens(ids, offsets, prefix=prefix, suffix=suffix, **meta)
