"""Picture files as people have them, made by this code alone, each with what is right for it: `rows.ROWS`.

`python tests/corpus/make.py FOLDER` writes them all; `tests/test_corpus.py` asks of each what became of it.
"""
