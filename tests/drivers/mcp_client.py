"""A client of MCP by its official SDK: runs what stands in the lines of its input.

    python mcp_client.py URL USER PASSWORD auto|legacy

A line is `list`, `read URI`, `NAME {arguments}` or `patiently NAME {arguments}`, which wants to
hear of progress; an answer is one line of JSON.
"""
import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def run(client, line):
    name, _, rest = line.partition(" ")
    if name == "list":
        return [tool.name for tool in (await client.list_tools()).tools]
    if name == "read":
        return (await client.read_resource(rest)).contents[0].text
    told, more = [], {}
    if name == "patiently":
        name, _, rest = rest.partition(" ")

        async def tell(progress, total, message):
            told.append(message)

        more = {"progress_callback": tell}
    result = await client.call_tool(name, json.loads(rest or "{}"), **more)
    return {
        "progress": told,
        "error": result.is_error,
        "text": [part.text for part in result.content],
        "structured": result.structured_content,
    }


async def main():
    url, user, password, mode = sys.argv[1:]
    auth = httpx2.BasicAuth(user, password)
    async with httpx2.AsyncClient(auth=auth, timeout=120, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            for line in sys.stdin:
                try:
                    answer = await run(client, line.strip())
                except Exception as error:  # what went wrong is an answer
                    answer = {"exception": str(error)}
                print(json.dumps(answer), flush=True)


asyncio.run(main())
