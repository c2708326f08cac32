"""Models: built from a recipe as plain classes of transformers, counted from shapes alone."""
