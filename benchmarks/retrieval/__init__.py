"""How well search finds: `python -m benchmarks.retrieval`.

Six collections of 100 passages each, one a language, as `collections/<language>.tsv`: a name, a
passage, a question. Fifty passages are of an office's handbook and were written for this; fifty are
the paragraphs of the thirty articles of the Universal Declaration of Human Rights, in the languages
of the United Nations' own translations (and in German), which anybody may copy. The questions were
written for each passage in words of the asker's own, so they are hard for the half of the words.
From each passage three of its words make a second question, as of somebody who remembers them:
hard for the half of the meaning.

With multilingual-e5-small, on the questions of odd numbers, which nothing was chosen by, both kinds
together (hit@1 by words, by meaning, by both): Arabic 0.81 0.72 0.89, German 0.73 0.76 0.89,
English 0.81 0.80 0.90, French 0.78 0.76 0.86, Russian 0.73 0.74 0.87, Chinese 0.78 0.78 0.92. Of
60 other spellings 59 come first. Told that nothing fits: 89 % of the questions of the one half of a
collection that are asked of the other, and 10 % of those that it answers in other words.
"""
