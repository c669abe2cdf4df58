"""Token ids of a data set: made once per (texts, tokenizer), then memory-mapped by every trial."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError, ModelError
from trainer.files import write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

#: Part of every cache key; raise it when what is stored changes.
FORMAT = 2

#: The files of an entry. Ids are raw int32, for their number is known only when all are made.
IDS, OFFSETS, META = "ids.int32", "offsets.npy", "meta.json"

#: Longest row kept, special tokens included, when the tokenizer states no sensible limit.
DEFAULT_LIMIT = 512

#: Share of tokens that a vocabulary does not know, from which on its model reads too little of the texts.
UNKNOWN_TOKENS = 0.01

#: Called with (texts done, texts in all) while they are tokenised.
Progress = Callable[[int, int], None]

#: Texts that are in memory as Python lists at a time.
CHUNK_TEXTS = 4096
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

    def occurring(self) -> NDArray[np.int64]:
        """The ids that rows of these tokens have, special ones and padding included."""
        special = [*self.prefix, *self.suffix, self.pad_id]
        occurs = np.zeros(max(int(self.ids.max(initial=0)), *special) + 1, dtype=np.bool_)
        occurs[self.ids] = True
        occurs[special] = True
        return np.flatnonzero(occurs)

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
    texts: Sequence[str],
    *,
    tokenizer: PreTrainedTokenizerBase,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Tokens:
    """Token ids of `texts`, from the cache or made now and cached.

    Entries are keyed by the content of texts and tokenizer, wherever the texts came from. Safe against other
    processes that build the same entry and against one that died over it. Ids go to disk as they are made;
    the tokenizer's own threads make them, one for each core.
    Raises `ModelError` for a tokenizer that cannot pad, `DataError` for a cache that cannot be used.
    """
    directory = cache_dir / _digest(chain([str(FORMAT), tokenizer_digest(tokenizer)], texts))
    if not directory.exists():
        _build(directory, texts=texts, tokenizer=tokenizer, progress=progress or _untold)
    return _open(directory, rows=len(texts))


def _untold(done: int, total: int) -> None:
    """Progress that nobody asked for."""


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


def _build(
    directory: Path, *, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> None:
    """Make the entry in a directory of its own and move it in place whole.

    Should that directory be swept away meanwhile, for a clock was set a day ahead, it is made once more.
    """
    for last_try in (False, True):
        temporary = _own_directory(directory)
        try:
            _write(temporary, texts=texts, tokenizer=tokenizer, progress=progress)
            _move(temporary, directory)
            return
        except FileNotFoundError:
            if last_try or temporary.exists():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _own_directory(directory: Path) -> Path:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        _sweep(directory)
        return Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    except OSError as error:
        message = (
            f"cannot hold the token cache ({error.strerror}); set data.cache_dir to a writable directory"
        )
        raise DataError(message, file=directory.parent) from error


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


def _write(
    directory: Path, *, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> None:
    if tokenizer.pad_token_id is None:
        raise ModelError("the tokenizer has no padding token; choose another model.name")
    prefix, suffix = special_ids(tokenizer)
    limit, unknown = _limit(tokenizer), 0
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    with _on_disk(directory / IDS) as stream:
        for start, rows in _chunks(texts, tokenizer=tokenizer, keep=limit - len(prefix) - len(suffix) + 1):
            done = start + len(rows)
            offsets[start + 1 : done + 1] = offsets[start] + np.cumsum([len(row) for row in rows])
            ids = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
            unknown += _count(ids, tokenizer.unk_token_id)
            stream.write(ids.tobytes())
            progress(done, len(texts))
    with _on_disk(directory / OFFSETS) as stream:
        # Straight to the file, numpy tells of a full disk only how many bytes did not fit.
        written = io.BytesIO()
        np.save(written, offsets)
        stream.write(written.getbuffer())
    meta = {"prefix": prefix, "suffix": suffix, "pad_id": tokenizer.pad_token_id, "limit": limit}
    meta["unk_rate"] = unknown / max(1, int(offsets[-1]))
    write_json(directory / META, meta)


def _chunks(
    texts: Sequence[str], *, tokenizer: PreTrainedTokenizerBase, keep: int
) -> Iterator[tuple[int, list[list[int]]]]:
    """(first row, content ids of each row, at most `keep`) of some texts at a time."""
    for start in range(0, len(texts), CHUNK_TEXTS):
        chunk = list(texts[start : start + CHUNK_TEXTS])
        yield start, tokenizer(chunk, add_special_tokens=False, truncation=True, max_length=keep)["input_ids"]


def _count(ids: NDArray[np.int32], token: int | None) -> int:
    return int((ids == token).sum()) if token is not None else 0


@contextmanager
def _on_disk(path: Path) -> Iterator[IO[bytes]]:
    """A new file whose content has reached the disk when the block ends."""
    with path.open("wb") as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


def _open(directory: Path, *, rows: int) -> Tokens:
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
        offsets = np.load(directory / OFFSETS, mmap_mode="r")
        ids = _mapped(directory / IDS)
    except (OSError, ValueError) as error:
        raise DataError("the token cache is damaged; delete this directory", file=directory) from error
    if len(offsets) != rows + 1 or offsets[-1] != len(ids):
        raise DataError("the token cache is damaged; delete this directory", file=directory)
    prefix, suffix = tuple(meta.pop("prefix")), tuple(meta.pop("suffix"))
    return Tokens(ids, offsets, prefix=prefix, suffix=suffix, **meta)


def _mapped(path: Path) -> NDArray[np.int32]:
    """Raises `ValueError` for a file that holds half an id."""
    if not path.stat().st_size:  # which cannot be mapped
        return np.empty(0, dtype=np.int32)
    return np.memmap(path, dtype=np.int32, mode="r")
