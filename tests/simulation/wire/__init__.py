"""Over the wire: real controller processes, killed and cut off, against a served sandbox.

Nothing here is virtual but the sandbox's clock: processes are started, killed and stopped by their
ids, everything on loopback, every wait with an end. What is judged is what a plain client of
Google's saw in the served world, never what a controller says of itself.
"""
