"""The page that a comparison of systems is read on: one HTML file that needs nothing else.

Needs the ``report`` extra (Matplotlib and Jinja2); nothing else of the package does.
"""

from __future__ import annotations

from structseq.report.page import write_page

__all__ = ["write_page"]
