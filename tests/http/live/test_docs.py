"""The programs of docs/live.md run as they stand on the page."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from onedoor.http.websocket import CloseCode
from onedoor.runtime.pubsub import QUEUE_SIZE_MAX
from tests.docs.pages import blocks
from tests.e2e.clients.conftest import HERE, NODE, ROOT
from tests.http.live.conftest import NAMES, SECONDS, RunningServer, wait_until

PAGE = ROOT / "docs" / "live.md"
AROUND = """
const { ONEDOOR_URL: url, ONEDOOR_KEY: key, QUERY: query } = process.env;
let count = 0;
function show(data, errors) {
  console.log(JSON.stringify({ data, errors }));
  count += 1;
  if (count === 2) process.exit(0);
}
"""
GRAPHIQL = f"""
import {{ readResults }} from {json.dumps((ROOT / "web/graphiql/src/sse.js").as_uri())};

const headers = {{
  accept: "text/event-stream", "content-type": "application/json", authorization: `Bearer ${{key}}`,
}};
const response = await fetch(url, {{ method: "POST", headers, body: JSON.stringify({{ query }}) }});
for await (const {{ data, errors }} of readResults(response)) show(data, errors);
"""
PROGRAMS = {block.words[0]: block.text for block in blocks(PAGE, "js")} | {"GraphiQL": GRAPHIQL}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
async def test_a_program_of_the_page_hears_of_each_event(server: RunningServer, tmp_path: Path, program: str) -> None:
    path = tmp_path / "program.mjs"
    path.write_text(AROUND + program)
    given = {
        "PATH": os.environ["PATH"],
        "ONEDOOR_URL": server.url,
        "QUERY": NAMES,
        "ONEDOOR_KEY": server.key("sales").text,
    }
    process = await asyncio.create_subprocess_exec(
        NODE, "--import", HERE / "vendored.mjs", path, cwd=ROOT, env=given, stdout=PIPE, stderr=PIPE
    )
    await wait_until(lambda: server.outcomes() == ["answered"])
    for id in ("2", "1"):
        await server.publish_change(id)
    async with asyncio.timeout(SECONDS):
        out, complaints = await process.communicate()
    assert complaints == b""
    assert [json.loads(line)["data"]["customerChanged"]["id"] for line in out.splitlines()] == ["2", "1"]
    await wait_until(lambda: server.outcomes()[-1] == "cancelled")


def test_the_page_names_every_code_and_the_room_there_is() -> None:
    page = PAGE.read_text()
    assert [item for item in CloseCode if f"| {item.value} |" not in page] == []
    assert f"{QUEUE_SIZE_MAX:,} events may wait" in page
