"""The experiments behind the paper's tables and figures: settings, data, runs and their results."""
