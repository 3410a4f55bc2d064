"""Convert between bytes and values: tolerant decoding, exact amounts, undocumented fields.

`Decoder` decodes replies, `raw_page` keeps rows as bytes, `encode` and `query` encode requests.
Generated structs are based on `Record`, `Part` and `Input`. Their times are `Moment`, a time with
an offset.
"""

from zoho_async.wire.copying import Uncopied
from zoho_async.wire.decoder import Decoder
from zoho_async.wire.encode import encode, query
from zoho_async.wire.envelope import Envelope, Unreadable, read_envelope
from zoho_async.wire.identity import identity_of
from zoho_async.wire.input import CopyError, Input
from zoho_async.wire.own_shape import OwnShape
from zoho_async.wire.page import Page
from zoho_async.wire.raw import raw_context, raw_page, row_id
from zoho_async.wire.record import Done, Moment, PageContext, Part, Record
from zoho_async.wire.shape import Percentage
from zoho_async.wire.text import AnotherRecord

__all__ = [
    "AnotherRecord",
    "CopyError",
    "Decoder",
    "Done",
    "Envelope",
    "Input",
    "Moment",
    "OwnShape",
    "Page",
    "PageContext",
    "Part",
    "Percentage",
    "Record",
    "Uncopied",
    "Unreadable",
    "encode",
    "identity_of",
    "query",
    "raw_context",
    "raw_page",
    "read_envelope",
    "row_id",
]
