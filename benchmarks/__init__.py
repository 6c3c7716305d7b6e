"""What it costs, beside others in the same run: ``python -m benchmarks``."""
