"""Training of matchers, detectors, single-object trackers, ReID, and of trackers by the DeepMOT loss."""
