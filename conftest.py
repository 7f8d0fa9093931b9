"""Settings of pytest --nbval: notebooks run by this environment's kernel, with folders as seen from here, and
everything is compared but stderr, where progress bars and warnings go."""

from deepmot_lib.experiments import folders


def pytest_configure(config):
    folders.resolve()
    if hasattr(config.option, "nbval_current_env"):
        config.option.nbval_current_env = True


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
