"""Published learning rates for encoders of a size."""

from __future__ import annotations

from dataclasses import dataclass

from trainer import encoder_shape

#: hidden size from which an encoder is of BERT-base's kind and takes its learning rates
BASE_WIDTH = 768


@dataclass(frozen=True)
class Rates:
    """Learning rates to search, and those known to be good for encoders of this kind, in order of trial."""

    low: float
    high: float
    good: tuple[float, ...]
    why: str


#: published ranges for fine-tuning BERT-base (Devlin et al. 2019, appendix A.3: 2e-5, 3e-5, 5e-5), and higher
#: ones for what is smaller (the compact BERTs of Turc et al. 2019 were tuned over 3e-5 to 3e-4; ELECTRA-small
#: is fine-tuned at 3e-4) or untrained; 3e-4 and 2e-4 came best out of short trials of a small one (0056)
PRETRAINED = Rates(5e-6, 1e-4, (2e-5, 3e-5, 5e-5), "the usual range for encoders of BERT-base's size")
SMALL = Rates(5e-5, 5e-4, (3e-4, 2e-4), "a small encoder takes, and needs, higher rates than BERT-base")
UNTRAINED = Rates(3e-4, 3e-3, (1e-3,), "an encoder trained from nothing needs higher rates")


def rates_for(model: str) -> Rates:
    """By the encoder's width, from its configuration alone.

    Raises:
        ModelError: the model's shape is known nowhere.
    """
    if model.startswith("builtin:"):
        return UNTRAINED
    return PRETRAINED if int(encoder_shape(model).hidden_size) >= BASE_WIDTH else SMALL
