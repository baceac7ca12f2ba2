"""Make the ASGI app of Acme, with its dashboard beside it: `uvicorn app:app`, or `python -m demo`."""

from pathlib import Path

from onedoor.app import create_app

app = create_app(__file__)
app.mount_pages("/dashboard", Path(__file__).parent / "demo" / "dashboard")
