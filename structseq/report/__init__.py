"""The report of a comparison, one self-contained HTML file; needs the ``report`` extra (Matplotlib and Jinja2)."""

from __future__ import annotations

from structseq.report.page import write_page

__all__ = ["write_page"]
