"""The marks of what was begun, and may have been cut off: for whoever does it, and for whoever only looks."""

from __future__ import annotations

#: system attribute of a study: True from its making until all of an imported document is in it
IMPORTING = "cp_search:importing"
#: beside the directories of studies: the renaming that is under way there
RENAMING = ".renaming.json"
