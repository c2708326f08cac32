"""The template of a run as the chat template that servers read: Jinja that renders the very prompts of training.

    chat_template(template)   ->   text for chat_template.jinja; `<s>` first, as every example began

A folder without one is served in a form that the model never saw (llama.cpp falls back to ChatML), and answers nonsense. The
export renders probes through it and compares them with the template itself before the folder is kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lugha.errors import RefusedError
from lugha.tokens.template import Exchange, Template

_PLACE = "\x00"  # stands in no template


def chat_template(template: Template) -> str:
    """Jinja over `messages` (roles system, user, assistant) and `bos_token`, equal to `template.conversation`."""
    before, _, after = template.prompt(_PLACE).partition(_PLACE)
    opening, closing, between = (json.dumps(text, ensure_ascii=False) for text in (before, after, template.separator))
    return (
        "{{- bos_token }}{%- for message in messages %}"
        f"{{%- if message['role'] == 'user' %}}{{{{- {opening} + message['content'] + {closing} }}}}"
        "{%- elif loop.last %}{{- message['content'] }}"
        f"{{%- else %}}{{{{- message['content'] + {between} }}}}{{%- endif %}}"
        "{%- endfor %}"
    )


def check_chat_template(tokenizer: Any, template: Template, probes: Sequence[str]) -> int:
    """Render conversations of one and two questions by the exported tokenizer, and compare; returns how many.

    Raises:
        RefusedError: one differs from what training saw.
    """
    compared = 0
    for first, second in zip(probes, [*probes[1:], probes[0]], strict=True):
        exchanges = [Exchange(first, "", second), Exchange(second, "", first)]
        messages: list[dict[str, str]] = []
        for exchange, (prompt, response) in zip(exchanges, template.conversation("", exchanges), strict=True):
            messages.append({"role": "user", "content": exchange.instruction})
            rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            if rendered != (tokenizer.bos_token or "") + prompt:
                raise RefusedError(
                    f"The chat template renders {rendered[:80]!r}, but training saw {prompt[:80]!r}. Not exported."
                )
            messages.append({"role": "assistant", "content": response})
            compared += 1
    return compared
