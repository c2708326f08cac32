"""What a script may say, and how it is told what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from lugha.errors import InputError, RefusedError
from lugha.integrations.settings import settings_of

GOOD: dict[str, Any] = {
    "stores": ["/mnt/drive"],
    "every": "30m",
    "deadline": None,
    "grace": "30s",
    "evaluation_share": 0.05,
    "allow_changed": (),
    "max_unverified_age": "2h",
    "stop_unverified_age": None,
    "private": True,
    "s3_endpoint": None,
    "s3_region": None,
}


def test_good_values_are_seconds_and_stores() -> None:
    settings = settings_of(**GOOD | {"deadline": "168h"})
    assert (settings.every, settings.grace, settings.publish.stop_age) == (1800.0, 30.0, 14_400.0)
    assert [store.address for store in settings.stores] == ["/mnt/drive"]
    assert settings.deadline is not None
    assert settings.deadline.allotted == 168 * 3600


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stores": "s3://bucket"}, r"stores='s3://bucket': write a list"),
        ({"stores": ["gs://bucket"]}, r"stores: no store gs://"),
        ({"stores": ["hf://user"]}, "hf://user/repo"),
        ({"stores": ["s3://key:secret@bucket"]}, "holds no credentials"),
        ({"every": 30}, r"every=30: write a duration with its unit"),
        ({"every": "half an hour"}, "write a duration with its unit"),
        ({"deadline": "tomorrow"}, r"deadline='tomorrow': write a duration"),
        ({"deadline": "2026-11-27T12:00"}, "a time without its zone"),
        ({"grace": "120"}, r"grace='120': write a duration"),
        ({"evaluation_share": 5}, r"evaluation_share=5: a share of the time, such as 0.05"),
        ({"evaluation_share": 0.0}, "a share of the time"),
        ({"max_unverified_age": "2h", "stop_unverified_age": "1h"}, "the run would stop before it warns"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        settings_of(**GOOD | wrong)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "key:secret" not in str(caught.value.__cause__)


def test_a_deadline_that_is_over_is_refused() -> None:
    with pytest.raises(RefusedError, match="is over since"):
        settings_of(**GOOD | {"deadline": "2001-01-01T00:00Z"})
