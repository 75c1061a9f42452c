"""Pictures as tensors on a device, and back: over pinned memory on a CUDA stream of their own.

A copy runs beside the model's kernels; what the model does next waits for it on the device, not on the CPU.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_local = threading.local()


def upload(rgb: NDArray[np.uint8], device: Any) -> Any:
    """An RGB array [H, W, 3] as a uint8 tensor on `device`."""
    import torch

    device = torch.device(device)
    if device.type != "cuda":
        return torch.from_numpy(np.ascontiguousarray(rgb)).to(device)
    host = torch.empty(rgb.shape, dtype=torch.uint8, pin_memory=True)  # torch reuses pinned blocks when they are free
    np.copyto(host.numpy(), rgb)
    copies, now = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copies):
        pixels = host.to(device, non_blocking=True)
    now.wait_stream(copies)
    pixels.record_stream(now)
    return pixels


def floats(picture: Any) -> Any:
    """A tensor [H, W, 1 or 3] of any dtype as float32 [1, H, W, 3] in 0..1, new memory on the same device."""
    import torch

    result = picture.detach().expand(*picture.shape[:2], 3).to(torch.float32, copy=True)[None]
    if not picture.is_floating_point() and picture.dtype != torch.bool:
        result.div_(255.0)
    return result.clamp_(0.0, 1.0)


def to_array(tensor: Any) -> NDArray[Any]:
    """A tensor of any device and dtype as an array: on the CPU a view where NumPy has its dtype.

    Floats on another device come as bytes, a quarter to carry over.
    """
    import torch

    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        return _download(_bytes_on_device(tensor) if tensor.is_floating_point() else tensor)
    if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.to(torch.float32)  # NumPy has no bfloat16, and half precision can't hold 255 steps
    array: NDArray[Any] = tensor.numpy(force=True)
    return array


def _bytes_on_device(tensor: Any) -> Any:
    """Floats 0..1 as uint8; those of a picture in 0..255 stay floats, for which the caller has its words."""
    import torch

    floats = tensor.to(torch.float32)
    if float(floats.mean()) > 2.0:
        return floats
    return floats.mul(255.0).add_(0.5).nan_to_num_(0.0).clamp_(0.0, 255.0).to(torch.uint8)


def _download(tensor: Any) -> NDArray[Any]:
    import torch

    if tensor.device.type != "cuda":
        array: NDArray[Any] = tensor.cpu().numpy()
        return array
    tensor = tensor.contiguous()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copies, done = _copy_stream(tensor.device), torch.cuda.Event()  # type: ignore[no-untyped-call]
    copies.wait_stream(torch.cuda.current_stream(tensor.device))
    with torch.cuda.stream(copies):
        host.copy_(tensor, non_blocking=True)
        done.record(copies)
    done.synchronize()  # without the interpreter's lock
    array = host.numpy()
    return array


def _copy_stream(device: Any) -> Any:
    """One stream a thread and device."""
    import torch

    streams = _local.__dict__.setdefault("streams", {})
    if device not in streams:
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return streams[device]
