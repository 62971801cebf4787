"""Documents: their policy allows their own scripts and style, and nothing else."""

import base64
import hashlib
import html
import re

from sincut.report.html import asset, document


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_a_policy_allows_what_the_document_holds() -> None:
    page = document("report.html", "<b>", ("page.css",), ("report.js",), data={}, licence="")
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert style == asset("page.css") and script == asset("report.js")
    assert f"style-src {sha256(style)};" in policy and f"script-src {sha256(script)};" in policy
    assert policy.startswith("default-src 'none'; img-src data:;") and "<title>&lt;b&gt;" in page


def test_a_document_without_scripts_allows_none() -> None:
    page = document("compare.html", "title", ("page.css", "compare.css"), cells=[], meanings={})
    assert "script-src 'none'" in page and "<script" not in page


def test_data_end_no_script() -> None:
    page = document("report.html", "t", ("page.css",), data={"a": "</script><!--\u2028'"}, licence="</script>")
    block = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0]
    assert "<" not in block and "'" not in block
    assert page.count("</script>") == 1
