"""What pytest --nbval compares: everything but stderr, where progress bars and warnings go."""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
