import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, Croft, Tap  # noqa: E402

import openai  # noqa: E402
from agents import (Agent, FileSearchTool, ModelSettings, Runner, set_default_openai_client,  # noqa: E402
                    set_tracing_disabled)

tap = Tap()
QUESTION = "How long is the notice period for tenants?"


def store(c):
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0)
    vs = client.vector_stores.create(name="house")
    for name, text, kind in (("lease.md", "The notice period for tenants is three months.", "law"),
                             ("dogs.md", "The notice period for dogs is one day.", "joke")):
        client.vector_stores.files.upload_and_poll(vector_store_id=vs.id, file=(name, text.encode()),
                                                   attributes={"kind": kind})
    return vs


async def run(c, vs):
    set_tracing_disabled(True)
    set_default_openai_client(openai.AsyncOpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0))
    agent = Agent(name="clerk", instructions="Be brief.", model=CHAT,
                  model_settings=ModelSettings(temperature=0, max_tokens=60),
                  tools=[FileSearchTool(vector_store_ids=[vs.id], max_num_results=3, include_search_results=True,
                                        filters={"type": "eq", "key": "kind", "value": "law"})])
    r = await Runner.run(agent, QUESTION)
    kinds = [type(i.raw_item).__name__ for i in r.new_items]
    tap.same(kinds, ["ResponseFileSearchToolCall", "ResponseOutputMessage"], "a search, then the answer")
    tap.same([(h.filename, h.attributes) for h in r.new_items[0].raw_item.results], [("lease.md", {"kind": "law"})],
             "its results, filtered")
    tap.ok("three months" in r.final_output, "the answer is from the file", r.final_output)
    cited = r.new_items[1].raw_item.content[0].annotations
    tap.ok(cited and cited[0].filename == "lease.md", "and cites it", cited)
    again = await Runner.run(agent, r.to_input_list() + [{"role": "user", "content": "Say it again."}])
    tap.ok(again.new_items[0].raw_item.type == "file_search_call", "the whole conversation sent again", again.new_items)
    streamed = Runner.run_streamed(agent, QUESTION)
    seen = [e.data.type async for e in streamed.stream_events() if e.type == "raw_response_event"]
    tap.ok("response.file_search_call.completed" in seen and streamed.final_output == r.final_output,
           "streamed, the same answer", seen)


with Croft(models=True, key="test-key") as c:
    asyncio.run(run(c, store(c)))
tap.done()
