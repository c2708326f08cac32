"""The demo: a sample corpus that lugha makes itself, real Swahili and Igbo with English, and what became of its dirt.

Read in this order: `meaning` (what a sentence says), `swahili`, `igbo` and `english` (how each language says it), `grammar`
(which sentences there are), `sampling`, `dirt`, `corpus` (`write_demo_corpus`: the raw files and the key), `audit`
(`audit_cleaning`: planted versus caught).
"""
