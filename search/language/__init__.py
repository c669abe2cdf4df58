"""The language a person is spoken to in: English in the code, others from a catalogue at the way out."""

from search.language.catalogue import cells as cells
from search.language.catalogue import explained as explained
from search.language.catalogue import padded as padded
from search.language.catalogue import translated as translated
from search.language.choice import LANGUAGES as LANGUAGES
from search.language.choice import choose as choose
from search.language.choice import current as current
