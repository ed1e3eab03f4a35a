"""Evidence → verdict: pure statistics. No I/O, no clock, no traffic."""
