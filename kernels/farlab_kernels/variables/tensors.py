"""PyTorch tensors as NumPy arrays under way: torch itself pickles them by copying.

A tensor of a GPU arrives on the same kind of device if there is one at the other end, else on
the CPU: what a site computed can be looked at on a laptop.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def reduce(value: Any) -> Any:
    """Return pickle's instructions for a tensor, NotImplemented for anything else."""
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    if tensor is None or type(value) is not tensor:
        return NotImplemented
    if value.layout is not torch.strided or value.is_quantized or value.is_complex():  # type: ignore[union-attr]
        return NotImplemented
    plain = value.detach().cpu().contiguous()
    flat = plain.reshape(-1).view(torch.uint8).numpy()  # type: ignore[union-attr]
    dtype = str(value.dtype).removeprefix("torch.")
    return make, (flat, dtype, tuple(value.shape), value.device.type, value.requires_grad)


def make(flat: Any, dtype: str, shape: tuple[int, ...], device: str, wants_grad: bool) -> Any:
    """Make a tensor of an array of its bytes. Raises ImportError."""
    torch: Any = importlib.import_module("torch")
    if not flat.flags.writeable:
        flat = flat.copy()
    tensor = torch.from_numpy(flat).view(getattr(torch, dtype)).reshape(shape)
    if device != "cpu" and _has(torch, device):
        tensor = tensor.to(device)
    return tensor.requires_grad_() if wants_grad else tensor


def _has(torch: Any, device: str) -> bool:
    backend = getattr(torch, device, None)
    available = getattr(backend, "is_available", None)
    return bool(available and available())
