"""Compare a mirror with Zoho's own reports, to the cent.

    from zoho_async.verify import verify

    found = await verify(zoho, "books.sqlite")
    print(found.verdict, [check.name for check in found.differing])

`zoho_async.verify.compare` has the theory: when a mirror agrees, differs or cannot be compared, and
why a true export never differs.
"""

from zoho_async.verify.certificate import certificate_json, certificate_text, write_certificate
from zoho_async.verify.job import VerifyPlan, plan_verification, verify
from zoho_async.verify.results import (
    Comparison,
    Difference,
    ReportSource,
    Subject,
    TableSource,
    Verdict,
    Verification,
)

__all__ = [
    "Comparison",
    "Difference",
    "ReportSource",
    "Subject",
    "TableSource",
    "Verdict",
    "Verification",
    "VerifyPlan",
    "certificate_json",
    "certificate_text",
    "plan_verification",
    "verify",
    "write_certificate",
]
