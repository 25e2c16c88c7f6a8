"""How much memory the machine has to spare."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def available(source: Path = _MEMINFO) -> int | None:
    """Return the bytes that programs can still take without swapping; None where unknown.

    Parameters
    ----------
    source : Path
        A file in the format of Linux's ``/proc/meminfo``.
    """
    try:
        lines = source.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    found = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((int(words[1]) * 1024 for words in found if len(words) > 1), None)


def size_text(count: float) -> str:
    """Return a number of bytes in words, of two digits.

    Examples
    --------
    >>> size_text(1_234_000_000)
    '1.2 GB'
    """
    return f"{count / 1e9:.2g} GB" if count >= 1e9 else f"{count / 1e6:.2g} MB"
