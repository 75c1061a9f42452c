"""JupyterLab, the kernel, the dashboard, and which `pytrickle` a program gets."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.util import find_spec

from byoc_nb.commands.checks.finding import Finding, error, good, note, numbers, pip_install, version

LAB = "byoc_nb[lab]"
_LOWEST_LAB = (4, 2)


def jupyterlab() -> Finding:
    """Its version; it may be another environment's."""
    found = version("jupyterlab")
    if found and numbers(found) < _LOWEST_LAB:
        return note("jupyterlab", f"{found}, older than what was tested", pip_install("--upgrade", "jupyterlab>=4.2"))
    if found:
        return good("jupyterlab", found)
    if elsewhere := shutil.which("jupyter-lab"):
        return good("jupyterlab", f"another environment's, {elsewhere}")
    return error("jupyterlab", "not installed", pip_install(LAB))


def notebook() -> Finding:
    """What the magics, the dashboard and an export import."""
    needed = ("ipykernel", "ipywidgets", "anywidget", "jinja2", "detect_secrets", "PIL", "watchfiles")
    if missing := [name for name in needed if find_spec(name) is None]:
        return error("notebook", f"not installed: {', '.join(missing)}", pip_install(LAB))
    return good("notebook", f"ipykernel {version('ipykernel')}, ipywidgets {version('ipywidgets')}")


def kernelspec() -> Finding:
    """Whether the launcher has "BYOC (Python)", and with which python."""
    fix = shlex.join([sys.executable, "-m", "byoc_nb", "kernelspec", "install"])
    if find_spec("jupyter_client") is None:
        return note("kernelspec", "not looked for, Jupyter is not installed", pip_install(LAB))
    try:
        from jupyter_client.kernelspec import KernelSpecManager

        spec = KernelSpecManager().get_kernel_spec("byoc")
        python = spec.argv[0]
    except Exception:  # there is none, its file is broken, or the user has no folder of their own
        return note("kernelspec", "BYOC (Python) isn't in the launcher; %load_ext byoc_nb works in any kernel", fix)
    if shutil.which(python) is None:
        return note("kernelspec", f"BYOC (Python) starts {python}, which isn't there", fix)
    return good("kernelspec", f"BYOC (Python) in {spec.resource_dir}")


def server_proxy() -> Finding:
    """Without it a browser on another machine gets the pictures through the kernel's messages."""
    if find_spec("jupyter_server_proxy") is not None:
        return good("server-proxy", f"{version('jupyter-server-proxy')}: the dashboard works from other machines too")
    said = "not installed: a browser on another machine gets pictures slower, over Jupyter's own messages"
    return note("server-proxy", said, pip_install("jupyter-server-proxy"))


def pytrickle() -> Finding:
    """Which one `import pytrickle` brings."""
    if own := version("pytrickle"):
        return good("pytrickle", f"import pytrickle is pytrickle {own} itself")
    if find_spec("byoc_nb_pytrickle") is not None:
        return good("pytrickle", "import pytrickle is byoc_nb, in every program")
    return good("pytrickle", "import pytrickle is byoc_nb, in notebooks and under byoc-nb")
