"""The checks of `byoc-nb doctor`: each a function without arguments that gives one `Finding`."""

from byoc_nb.commands.checks import images, jupyter, machine, media, tensors
from byoc_nb.commands.checks.finding import Finding

CHECKS = (
    machine.python,
    machine.cores,
    machine.memory,
    machine.disk,
    machine.port,
    media.pyav,
    media.ffmpeg,
    media.nvenc,
    tensors.torch,
    tensors.cuda,
    tensors.openmp,
    jupyter.jupyterlab,
    jupyter.notebook,
    jupyter.kernelspec,
    jupyter.server_proxy,
    jupyter.pytrickle,
    images.builder,
    images.lock,
)

__all__ = ["CHECKS", "Finding"]
