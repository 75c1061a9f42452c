"""Arrays that are kept as values, in a safetensors file beside `processor.py`."""

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


def is_tensor(value: Any) -> bool:
    """Whether it is one of torch's, given that `is_array` says yes."""
    return type(value).__module__ != "numpy"


def size_of(value: Any) -> int:
    """How many bytes the numbers take."""
    return int(value.nbytes)


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
    from pathlib import Path

    from safetensors import safe_open

    with safe_open(Path(__file__).with_name("{FILE}"), framework) as kept:
        return kept.get_tensor(name)


{read}
'''


def write(constants: Mapping[str, Any], folder: Path) -> Path:
    """Write the file; numbers, shapes and types as they are."""
    from safetensors.numpy import save_file

    target = folder / FILE
    arrays = {name: value for name, value in constants.items() if not is_tensor(value)}
    if len(arrays) == len(constants):
        save_file({name: _compact(value) for name, value in arrays.items()}, target)
        return target
    import torch
    from safetensors.torch import save_file as save_tensors

    tensors = {name: torch.from_numpy(_compact(value)) for name, value in arrays.items()}
    tensors |= {name: value.detach().contiguous().clone() for name, value in constants.items() if name not in arrays}
    save_tensors(tensors, target)
    return target


def _compact(value: Any) -> Any:
    import numpy as np

    return np.array(value, order="C")
