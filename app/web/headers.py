"""What every answer tells the browser: load nothing from elsewhere, guess no types, be in nobody's frame."""

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=(), serial=(), hid=(), "
    "midi=(), clipboard-read=(), browsing-topics=()",
    # an answer that is no page runs and loads nothing, should a browser ever show it as one
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
YEAR = "max-age=31536000"
INLINE = re.compile(rb"<(script|style)(?:\s[^>]*)?>(.*?)</\1>", re.DOTALL | re.IGNORECASE)


def add(message: Message, scope: Scope) -> None:
    """Put the headers onto the start of an answer; one that the answer has already is kept."""
    headers = MutableHeaders(raw=message["headers"])
    for name, value in ALWAYS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", YEAR)


def policy(body: bytes) -> str:
    """Content security policy of Gradio's page `body`: its inline scripts by their hashes, everything else from here.

    Measured with Gradio 6.31: it compiles a component's js_on_load with new Function ('unsafe-eval') and writes style
    elements and attributes ('unsafe-inline', for styles only); the surface draws its maps on canvases and needs no blob.
    """
    scripts = " ".join(_hashes(body, b"script"))
    return (
        f"default-src 'self'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; object-src 'none'; frame-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    )


def small_policy(body: bytes) -> str:
    """Policy of an own page that holds its style and script in itself: nothing is loaded, it posts to its own server."""
    scripts = " ".join(_hashes(body, b"script")) or "'none'"
    styles = " ".join(_hashes(body, b"style")) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


def _hashes(body: bytes, tag: bytes) -> list[str]:
    """'sha256-…' of every inline element of this kind, in order, each once."""
    found = (match.group(2) for match in INLINE.finditer(body) if match.group(1).lower() == tag and match.group(2))
    digests = (base64.b64encode(hashlib.sha256(content).digest()).decode() for content in found)
    return list(dict.fromkeys(f"'sha256-{digest}'" for digest in digests))
