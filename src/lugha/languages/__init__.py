"""What lugha knows of each language: codes, alphabet, signs, and the one normaliser that every stage uses.

registry.py   get_language("ig") -> Language(code="ibo", nllb="ibo_Latn", alphabet=...)
normalise.py  Normaliser("ibo").normalise(text): mojibake, invisible characters, NFC, apostrophes, quotes, blanks
mojibake.py   repair(text): UTF-8 that was once read as Windows-1252 or MacRoman
tone.py       safe_tone_removal(text): tone marks go, dotted letters stay
"""
