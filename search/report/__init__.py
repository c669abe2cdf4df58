"""What a study came to: in a few lines (`summary`), and as a page (`facts`, gathered once, then rendered)."""

from search.report.summary import StudyReport as StudyReport
from search.report.summary import summarise as summarise
