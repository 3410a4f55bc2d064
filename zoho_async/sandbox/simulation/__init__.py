"""Time, latency, rate limits and faults of the sandbox."""
