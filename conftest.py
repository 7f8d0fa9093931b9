"""Settings of pytest --nbval: notebooks run by this environment's kernel, with folders as seen from here, and
everything is compared but stderr, where progress bars and warnings go."""

import os

from deepmot_lib.experiments.folders import absolute_environment


def pytest_configure(config):
    os.environ.update(absolute_environment(os.environ))
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
