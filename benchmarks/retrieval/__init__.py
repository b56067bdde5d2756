"""How well search finds: `python -m benchmarks.retrieval`.

Six collections of 100 passages each, one a language, as `collections/<language>.tsv`: a name, a
passage, a question. Fifty passages are of an office's handbook and were written for this; fifty are
the paragraphs of the thirty articles of the Universal Declaration of Human Rights, in the languages
of the United Nations' own translations (and in German), which anybody may copy. The questions were
written for each passage in words of the asker's own, so they are hard for the half of the words.
From each passage three of its words make a second question, as of somebody who remembers them:
hard for the half of the meaning.
"""
