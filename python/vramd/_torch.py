"""Tensors of PyTorch on the daemon's memory, and PyTorch's GPU memory from the daemon."""
from __future__ import annotations

import os
from typing import Any, Optional

from ._errors import Unsupported
from ._span import Span

_LIBRARY = "libvramd_torch.so.0"


def tensor_of(span: Span, dtype: str, shape: tuple[int, ...]) -> Any:
    """A `torch.Tensor` on that memory, which it keeps. Raises `Unsupported` for types that this PyTorch lacks."""
    import torch.utils.dlpack

    boolean = dtype == "bool"  # Older ones have no name for it in DLPack; it is a byte of 0 or 1 to all of them.
    capsule = span.dlpack("u8" if boolean else dtype, shape)
    try:
        tensor = torch.utils.dlpack.from_dlpack(capsule)
    except RuntimeError as error:
        raise Unsupported(f"PyTorch {torch.__version__} does not take a tensor of {dtype}: {error}. Its bytes are in .memory, on a GPU in .tobytes().") from error
    return tensor.view(torch.bool) if boolean else tensor


def torch_allocator(library: Optional[str] = None) -> Any:
    """The allocator by which all GPU memory that PyTorch takes in this process is the daemon's: limits and quotas hold, `vramctl ps` shows it.

        torch.cuda.memory.change_current_allocator(vramd.torch_allocator())

    before anything is on the GPU. The daemon is the one of VRAMD_SOCKET, else of the default place. `library`: where libvramd_torch lies, VRAMD_TORCH_LIBRARY
    or where the loader looks unless told. What cannot be had is a RuntimeError with the daemon's words.
    Raises `Unsupported` where PyTorch is older than 2.0.
    """
    import torch

    pluggable: Any = getattr(torch.cuda.memory, "CUDAPluggableAllocator", None)
    if pluggable is None:
        raise Unsupported(f"PyTorch {torch.__version__} takes its GPU memory from nobody else; 2.0 and later do.")
    path = library or os.environ.get("VRAMD_TORCH_LIBRARY") or _LIBRARY
    return pluggable(path, "vramd_torch_malloc", "vramd_torch_free")
