"""Settings of the whole suite: a busy machine must not fail a property test for being slow."""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
