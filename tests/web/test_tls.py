"""The page with a certificate of its own."""

import shutil
import ssl
from pathlib import Path

import httpx
import pytest

from tests.web import process


def test_it_speaks_tls_and_nothing_else(tmp_path: Path, template: Path) -> None:
    workspace = shutil.copytree(template, tmp_path / "workspace")
    cert, key = process.certificate(tmp_path)
    port = process.free_port()
    with process.page(workspace, port, "--tls-cert", str(cert), "--tls-key", str(key)):
        trusting = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting) as web:
            assert web.get("/healthz").json() == {"ok": True}
            image = web.get("/image/1")
            assert image.headers["content-type"].startswith("image/")
            assert "server" not in image.headers
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://127.0.0.1:{port}/healthz")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{port}/healthz")
        with pytest.raises((httpx.ConnectError, httpx.ReadError)):
            httpx.get(f"https://127.0.0.1:{port}/healthz", verify=_old(trusting))


def _old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Speaks TLS 1.1 at most."""
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
