"""Benchmarks of the client: ``python -m benchmarks --help``.

They answer three questions: what the client costs against the floor (`suites.replies`,
`suites.overhead`), whether it keeps the rate against the limit (`suites.rate`, `fleet`), and what
destinations cost (`suites.destinations`).

How the figures stay reliable on a machine that is not quiet:

- The server is another process that writes prepared bytes (`server`). Its cost is measured first
  and printed, to show that it is not the bottleneck.
- Each contender is a process (`timing`), so none pays for another's imports, memory or garbage.
  Contenders take turns A B C A B C, so a machine whose speed drifts treats all alike.
- The figure is CPU time of the contender's process. Tables also show wall time and peak memory.
  Ratios are medians of the ratios within one round.
- All do the same work: before timing, the rows of each contender are compared with the floor's,
  field by field. The table says what a peer cannot return (money as float, a blank as ``""``). A
  wrong or missing value ends the run.

`suites` lists the tables. Each is a function that returns a `report.Table`.
"""
