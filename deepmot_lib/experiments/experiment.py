"""One experiment: its settings, data, device and files, opened once and passed down."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from ..data import mot, synthetic
from ..data.files import atomic
from . import pairs, sequences, settings, tables
from .folders import data_folder, output_folder
from .settings import Settings


@dataclass(frozen=True)
class Paths:
    """Where an experiment's files go: everything below one folder, ``runs/<profile>``."""

    root: Path

    @property
    def tables(self) -> Path:
        """Tables of results, CSV, each with its provenance beside it."""
        return self.root / "tables"

    @property
    def figures(self) -> Path:
        """Figures, PNG."""
        return self.root / "figures"

    @property
    def notebooks(self) -> Path:
        """Executed notebooks."""
        return self.root / "notebooks"

    @property
    def pages(self) -> Path:
        """Executed notebooks as HTML."""
        return self.root / "html"

    @property
    def matchers(self) -> Path:
        """Checkpoints, weights and scores of matchers."""
        return self.root / "dhn"

    @property
    def trackers(self) -> Path:
        """Checkpoints, weights and result files of trackers, and the features of their frozen backbones."""
        return self.root / "trackers"


@dataclass(frozen=True)
class Experiment:
    """All that a notebook or a command needs to train, score and report.

    Opening one writes nothing; data is read, or rendered, on first use.

    Attributes:
        settings: Sizes, schedules and seeds.
        paths: Where its files go.
        device: Where networks are trained and run.
        data_root: The folder of real data, None for the rendered sequences.
    """

    settings: Settings
    paths: Paths
    device: torch.device
    data_root: Path | None = None
    _pairs: dict[str, pairs.MatcherData] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, profile: str = "smoke", device: str | torch.device | None = None) -> Experiment:
        """Open the experiment of a profile.

        Its files go below ``DEEPMOT_OUT``, or else below the checkout that the working directory is in, or
        else below the working directory. Real data is that of ``DEEPMOT_DATA``, where the profile uses it;
        where it does not though there is some, a line on stderr says so.

        Args:
            profile: "smoke", "standard", "paper" or "rendered".
            device: A torch device; None for a GPU where there is one.

        Raises:
            ValueError: There is no such profile.
            FileNotFoundError: ``DEEPMOT_DATA`` names no folder: a typo must not silently turn a run on real
                data into one on rendered data.
            RuntimeError: The device is not there.
        """
        chosen = settings.get(profile)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.empty(0, device=device).device
        data_root = data_folder() if chosen.real_data else None
        if not chosen.real_data and os.environ.get("DEEPMOT_DATA"):
            print(f"profile {chosen.name}: rendered data is taken, not DEEPMOT_DATA's", file=sys.stderr)
        return cls(chosen, Paths(output_folder() / "runs" / chosen.name), device, data_root)

    @cached_property
    def rendered(self) -> list[mot.Sequence]:
        """The rendered sequences, each with the detections of three detectors."""
        size = self.settings.embedded
        return synthetic.write_sequences(
            self.paths.root / "embedded", size.sequences, size.frames, size.image_size, size.seed
        )

    @cached_property
    def tracking(self) -> sequences.TrackingData:
        """The sequences that trackers are trained and evaluated on."""
        if self.data_root is None:
            return sequences.rendered(self.rendered)
        return sequences.real(self.data_root)

    def pairs(self, kind: str) -> pairs.MatcherData:
        """Return the pairs that matchers are trained and tested on.

        Args:
            kind: One of ``pairs.KINDS``.

        Raises:
            ValueError: Another kind.
        """
        if kind not in self._pairs:
            self._pairs[kind] = (
                pairs.rendered(kind, self.rendered)
                if self.data_root is None
                else pairs.real(kind, self.data_root)
            )
        return self._pairs[kind]

    def provenance(self, **known: Any) -> dict[str, Any]:
        """Return the provenance of a table that this experiment makes now; see ``tables.provenance``."""
        return tables.provenance(profile=self.settings.name, device=tables.device_name(self.device), **known)

    def save_figure(self, figure: Figure, name: str) -> None:
        """Write a figure to ``figures/<name>.png``."""
        with atomic(self.paths.figures / f"{name}.png") as temporary:
            figure.savefig(temporary)
