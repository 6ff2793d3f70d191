"""Settings that client, workers and lab host share."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from faaslab.errors import ConfigError

ENV_PREFIX = "FAASLAB_"
SIZE_VARIABLE = "FAASLAB_SIZE_MIB"
"""Tells user code in a worker its size."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of a lab; every field can be overlaid by an environment variable ``FAASLAB_<FIELD>``.

    Raises:
        ConfigError: A field is outside its range.
    """

    redis_url: str = ""
    """Store to use; empty: an embedded server is started."""
    inline_dag_bytes: int = 256 * 1024
    """DAG structure and code up to this size ride inside the invocation."""
    inline_input_bytes: int = 256 * 1024
    """Inputs of a task up to this total size ride inside the invocation or the reply that assigns it."""
    inline_output_bytes: int = 64 * 1024
    """Outputs up to this size are written by the completing script; larger ones are blobs, written before it."""
    blob_chunk_bytes: int = 64 * 1024 * 1024
    """Blobs are cut into chunks of this size (a Redis string holds at most 512 MiB)."""
    part_constant_bytes: int = 64 * 1024
    """Constants above this size are stored once per run, by digest, and fetched by the tasks that use them."""
    lease_s: float = 6.0
    """A container that has not renewed its lease for this long is taken for dead."""
    heartbeat_s: float = 0.5
    """How often a supervisor renews its container's lease and hears of cancelled runs."""
    client_lease_s: float = 10.0
    """A client that has not been heard of for this long is taken for gone."""
    grace_s: float = 5.0
    """How long runs and the lab host outlive their last client."""
    storage_timeout_s: float = 30.0
    """A store call that takes longer fails."""
    wait_slice_s: float = 2.0
    """A blocked wait asks again after this long, so that a lost message delays but never hangs."""
    max_lapses: int = 3
    """How often one invocation may die before its run fails."""
    retry_backoff_s: float = 0.1
    """First pause before a retry; doubles with every attempt, up to ``retry_backoff_cap_s``."""
    retry_backoff_cap_s: float = 10.0
    """Longest pause before a retry."""
    log_bytes: int = 64 * 1024
    """How much of a task's printed output is kept (its end)."""
    runs_dir: str = ".faaslab/runs"
    """Folder where traces of runs are saved, relative to the client's working directory; empty: nowhere."""
    history_dir: str | None = None
    """Folder of the history that real runs are recorded in and plans learn from; None: ``history`` beside ``runs_dir``,
    or none if that is empty. Empty: none."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not value >= 0:
                raise ConfigError(f"Config.{field.name} is {value}, must be 0 or more")
        if not 0 < self.heartbeat_s * 2 <= self.lease_s:
            raise ConfigError(
                f"Config.heartbeat_s is {self.heartbeat_s} s, must be above 0 and at most half of lease_s, "
                f"{self.lease_s} s"
            )

    @property
    def history_folder(self) -> Path | None:
        """Where the history is; None: there is none."""
        if self.history_dir is not None:
            return Path(self.history_dir) if self.history_dir else None
        return Path(self.runs_dir).parent / "history" if self.runs_dir else None

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Return the defaults overlaid by ``FAASLAB_*`` variables, then by ``overrides``.

        Raises:
            ConfigError: A variable can't be read as its field's type, or an override is unknown.
        """
        values: dict[str, Any] = {}
        known = {field.name: field for field in fields(cls)}
        for name, field in known.items():
            text = os.environ.get(ENV_PREFIX + name.upper())
            if text is None:
                continue
            kind: type[Any] = str if field.default is None else type(field.default)
            try:
                values[name] = kind(text)
            except ValueError:
                raise ConfigError(f"{ENV_PREFIX}{name.upper()}={text!r} is not a {kind.__name__}") from None
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise ConfigError(f"unknown setting {unknown[0]!r}; known: {', '.join(known)}")
        return replace(cls(**values), **overrides)
