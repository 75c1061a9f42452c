"""Arrays and dicts of them, such as a state dict, kept as values: in a safetensors file beside `processor.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "constants.safetensors"
READER = "_byoc_constant"


def is_array(value: Any) -> bool:
    """Whether it is a plain torch tensor or numpy array of numbers, nothing derived from them."""
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("numpy", "ndarray"):
        return value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
    torch = sys.modules.get("torch")  # a tensor can't be there without it
    return (
        torch is not None
        and kind is torch.Tensor
        and not (value.is_sparse or value.is_quantized or value.is_meta or value.is_complex())
    )


def is_kept(value: Any) -> bool:
    """Whether it can be kept: an array, or a dict of arrays of one kind by name."""
    if not isinstance(value, dict):
        return is_array(value)
    arrays = list(value.values())
    return (
        bool(arrays)
        and all(isinstance(key, str) for key in value)
        and all(map(is_array, arrays))
        and len(set(map(is_tensor, arrays))) == 1
    )


def is_tensor(value: Any) -> bool:
    """Whether it is one of torch's, given that `is_kept` says yes."""
    return all(type(one).__module__ != "numpy" for one in _arrays(value))


def is_on_gpu(value: Any) -> bool:
    """Whether any of it lies there."""
    return any(getattr(one, "is_cuda", False) for one in _arrays(value))


def size_of(value: Any) -> int:
    """How many bytes the numbers take."""
    return sum(int(one.nbytes) for one in _arrays(value))


def is_model(value: Any) -> bool:
    """Whether it is a torch module with parameters, which only training or loading makes what they are."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module) and next(value.parameters(), None) is not None


def lines(constants: Mapping[str, Any]) -> str:
    """The text that reads them back."""
    if not constants:
        return ""
    read = "\n".join(
        f"{name} = {READER}({json.dumps(name)}, {json.dumps('pt' if is_tensor(value) else 'np')})"
        + (".requires_grad_()" if getattr(value, "requires_grad", False) else "")
        for name, value in sorted(constants.items())
    )
    return f'''def {READER}(name: str, framework: str):  # noqa: ANN202
    """A value that no text makes again, from the file beside this one."""
    import json
    from pathlib import Path

    from safetensors import safe_open

    with safe_open(Path(__file__).with_name("{FILE}"), framework) as kept:
        keys = json.loads(kept.metadata()["dicts"]).get(name)
        return kept.get_tensor(name) if keys is None else {{key: kept.get_tensor(f"{{name}}/{{key}}") for key in keys}}


{read}
'''


def write(constants: Mapping[str, Any], folder: Path) -> Path:
    """Write the file; numbers, shapes and types as they are."""
    from safetensors.numpy import save_file

    target = folder / FILE
    dicts = {name: list(value) for name, value in constants.items() if isinstance(value, dict)}
    metadata = {"dicts": json.dumps(dicts)}
    flat = {name: value for name, value in constants.items() if name not in dicts}
    flat |= {f"{name}/{key}": constants[name][key] for name, keys in dicts.items() for key in keys}
    arrays = {name: value for name, value in flat.items() if not is_tensor(value)}
    if len(arrays) == len(flat):
        save_file({name: _compact(value) for name, value in arrays.items()}, target, metadata)
        return target
    import torch
    from safetensors.torch import save_file as save_tensors

    tensors = {name: torch.from_numpy(_compact(value)) for name, value in arrays.items()}
    tensors |= {name: value.detach().contiguous().clone() for name, value in flat.items() if name not in arrays}
    save_tensors(tensors, target, metadata)
    return target


def _arrays(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else [value]


def _compact(value: Any) -> Any:
    import numpy as np

    return np.array(value, order="C")
