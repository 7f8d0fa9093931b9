"""Rules of track management: thresholds of birth, death and revival (Sec. 5.2, A.2).

The paper's two sets are ``TRACKTOR`` (Bergmann et al., 2019) and ``MOT_BY_SOT`` (Appendix A.2).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """Thresholds of track management. Overlaps are IoU in [0, 1]; None switches a rule off.

    Attributes:
        detection_box: The box of a detection: the "public" one, as "regressed" by the detector, or their
            "mean".
        detection_score: Whose score of a detection counts: the "network"'s, the "public" one, or their
            "mean"; the network's where public scores are unknown or not in [0, 1].
        birth_score: Detections with a lower score start no track, and verify none.
        second_score: Detections of a score from this to ``birth_score`` keep a track alive that they overlap,
            and verify it, though they start none (ByteTrack's second association; Zhang et al., 2022).
        detection_nms: Overlap of the non-maximum suppression of detections.
        cover: A detection that overlaps a track at least this much belongs to it; others may start a track.
        detections_first: Whether detections are assigned to the tracks where the motion model expects these,
            as in ByteTrack: such a track needs no score and suppresses those without. Tracktor assigns none
            before tracks are propagated.
        matched_box: The box of a track with a detection of its own: the "propagated" one, the "detected" one,
            or their "mean".
        matched_overlap: Smallest overlap of such a pair at which it is not the propagated one.
        birth_frames: Number of consecutive frames in which a detection must recur to start a track.
        birth_overlap: Smallest overlap of such detections from one frame to the next.
        death_score: A track with a lower score is lost, and not propagated further.
        track_nms: Overlap of the non-maximum suppression of tracks; suppressed ones are lost.
        unverified_frames: Number of frames that a track stays visible without a detection of its own; hidden
            tracks are propagated further.
        unverified_death: Number of frames without a detection of its own after which a track is lost.
        patience: Number of frames after which lost and hidden tracks end.
        revival_distance: Largest appearance distance, in [0, 1], at which a detection revives such a track.
        revival_reach: Largest distance of the centers at which it does, in heights of the track.
        revival_overlap: Smallest overlap with such a track, moved on by the motion model, at which a
            detection that no track resembles revives it.
        appearance_frames: Number of last embeddings that are averaged to a track's appearance.
        camera_motion: Whether tracks are compensated for the camera's motion.
        velocity_frames: Number of frames over which the mean velocity is measured; 0 for no motion model.
    """

    detection_box: str = "regressed"
    detection_score: str = "network"
    birth_score: float = 0.5
    second_score: float | None = None
    detection_nms: float = 0.3
    cover: float = 0.3
    detections_first: bool = False
    matched_box: str = "propagated"
    matched_overlap: float = 0.0
    birth_frames: int = 1
    birth_overlap: float = 0.3
    death_score: float | None = 0.5
    track_nms: float = 0.6
    unverified_frames: int | None = None
    unverified_death: int | None = None
    patience: int = 10
    revival_distance: float | None = 0.2
    revival_reach: float = 1.0
    revival_overlap: float | None = None
    appearance_frames: int = 10
    camera_motion: bool = True
    velocity_frames: int = 0

    def __post_init__(self) -> None:
        if self.birth_frames < 1 or self.appearance_frames < 1 or self.velocity_frames < 0:
            raise ValueError(
                f"birth_frames and appearance_frames must be at least 1, velocity_frames at least 0: {self}"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")


_CHOICES = {
    "detection_box": ("regressed", "public", "mean"),
    "detection_score": ("network", "public", "mean"),
    "matched_box": ("propagated", "detected", "mean"),
}
TRACKTOR = Rules()
MOT_BY_SOT = Rules(
    detection_box="public",
    birth_frames=3,
    death_score=None,
    unverified_frames=0,
    matched_box="mean",
    matched_overlap=0.6,
    patience=60,
    camera_motion=False,
)
