"""The pipeline on one page: the stages of a recipe in order, and what each hands to the next.

    corpus -> tokens -> train -> evaluate -> export

`run_recipe` (run.py) calls them; `prepare.py` holds the data stages, `training.py`, `evaluating.py` and `exporting.py` one
stage each, `layout.py` knows the folders.
"""
