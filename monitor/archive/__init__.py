"""History that outlives memory: confirmed rows, kept as Parquet files.

``layout`` says where a file lies and what is in it, ``minutes`` what rows are and which can be
true, ``parquet`` turns them into bytes and back, ``writing`` and ``reading`` do it on disk, and
``task`` runs beside the service. Only ``parquet`` needs pyarrow (the extra ``archive``).
"""

from __future__ import annotations

__all__: tuple[str, ...] = ()
