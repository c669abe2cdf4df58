"""`builtin:tiny`: a small BERT trained from scratch, its vocabulary the characters of the training texts.

It needs no download, so that a first run works anywhere; it is no match for a pretrained encoder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from transformers import BertConfig, BertTokenizer, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_VOCABULARY = 8000


def tiny_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A character tokenizer over `texts`: most frequent characters first, ties in code-point order."""
    counts = Counter(character for text in texts for character in text.lower() if not character.isspace())
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    # Latin words are split into characters by WordPiece only if their continuations are known.
    latin = [f"##{character}" for character in ranked if character.isascii() and character.isalnum()]
    pieces = [*SPECIAL, *ranked[:MAX_VOCABULARY], *latin]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=False, model_max_length=512)


def tiny_config(vocabulary_size: int) -> BertConfig:
    """Two layers, 128 wide, 512 positions."""
    return BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=512,
        pad_token_id=0,
    )
