"""The names under which a storage, or a directory, keeps what is ours: one list for writers and readers."""

from __future__ import annotations

#: the one user attribute of a study: the dashboard shows every attribute in full
ATTRIBUTE = "cp_search"
#: user attribute of a trial that was measured in another study: "OTHER trial 7"
CARRIED = "carried"
#: system attribute of a study: True from its making until all of an imported document is in it
IMPORTING = "cp_search:importing"
#: beside the directories of studies: the renaming that is under way there
RENAMING = ".renaming.json"
