"""The load test's verdicts, its generator beside others, and its Job on a cluster."""
