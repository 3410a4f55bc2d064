"""What the client costs beside the floor and beside its peers: ``python -m benchmarks --help``.

How figures are made, so that they can be trusted on a machine that is not quiet:

- *The server* is a process of its own that writes prepared bytes (`server`); what it costs is
  measured first and printed, so that one sees that it is not the bottleneck.
- *Every contender* is a process of its own (`worker`), so none pays for another's imports, memory
  or garbage. They take turns A B C A B C, so that a machine whose speed drifts treats all alike.
- *CPU time* of the contender's process is the figure; wall time and peak memory stand beside it.
  Ratios are medians of the ratios within one round.
- *The same work*: before it is timed, each contender's rows are held against the floor's, field by
  field. What a peer cannot yield (money as float, a blank as ``""``) the table says; a wrong or
  missing value ends the run.

`suites` lists the tables; each is a function that returns a `report.Table`.
"""
