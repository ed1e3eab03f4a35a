"""A mutation tester: small changes of `engine` and `reconciler`, and whether anything notices.

`altering` makes the changes, `mutants` says where and puts one in place in a running process,
`finders` are the tests and seeds of the simulation that may notice (and which lines each runs),
`hunting` lets them, one forked process a mutant; `sitting` keeps what was found; `command` tells.
"""
