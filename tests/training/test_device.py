"""Where and in which type a run computes."""

from __future__ import annotations

import pytest
import torch

from lugha.errors import InputError
from lugha.recipe import TrainSection
from lugha.training.device import choose_compute


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_the_recipe_decides_the_type_of_products(precision: str, dtype: torch.dtype) -> None:
    compute = choose_compute(TrainSection.model_validate({"device": "cpu", "precision": precision}))
    assert (compute.device.type, compute.dtype) == ("cpu", dtype)
    with compute.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    section = TrainSection.model_validate({"device": "cuda", "precision": "bf16"})
    assert choose_compute(section, 1).device == torch.device("cuda", 1)
    with pytest.raises(InputError, match="this machine has 2. Start torchrun with --nproc-per-node 2"):
        choose_compute(section, 2)


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch sees no CUDA device"):
        choose_compute(TrainSection(device="cuda"))
