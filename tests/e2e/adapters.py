import concurrent.futures
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, Croft, Tap  # noqa: E402
import lora_files  # noqa: E402

import openai  # noqa: E402

tap = Tap()
folder = tempfile.mkdtemp(prefix="croft-lora-")


def ask(client, model, text="Write a sentence about the sea.", n=24, **more):
    r = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}],
                                       max_tokens=n, temperature=0, **more)
    return r.choices[0].message.content


def install(c):
    peft = lora_files.peft(os.path.join(folder, "one"), seed=1, alpha=32)
    gguf = lora_files.gguf(os.path.join(folder, "two.gguf"), seed=2, alpha=32)
    same = lora_files.gguf(os.path.join(folder, "one-gguf.gguf"), seed=1, alpha=32)
    code, out, err = c.cli("pull", peft)
    tap.ok(code and "--base" in err, "without its base an adapter is refused with the way to do it", err)
    code, out, err = c.cli("pull", peft, "--base", "nobody")
    tap.ok(code and "nobody" in err, "so is one with a base that is not installed", err)
    for path, name in ((peft, "one"), (gguf, "two"), (same, "one-gguf")):
        code, out, err = c.cli("pull", path, "--base", CHAT, "--name", name)
        tap.ok(code == 0, f"croft pull --base: {name}", err)
    code, out, err = c.cli("models")
    tap.ok("LoRA of " + CHAT in out, "croft models says of what", out)
    code, out, err = c.cli("artifact", "lineage", "model/one")
    tap.ok("derived from model/" + CHAT in out, "and so does its lineage", out + err)
    with open(os.path.join(peft, "adapter_config.json"), encoding="utf-8") as f:
        config = json.load(f)
    dora = lora_files.peft(os.path.join(folder, "dora"), seed=3, rank=2, modules=("v_proj",))
    with open(os.path.join(dora, "adapter_config.json"), "w", encoding="utf-8") as f:
        json.dump({**config, "use_dora": True}, f)
    code, out, err = c.cli("pull", dora, "--base", CHAT)
    tap.ok(code and "DoRA" in err, "DoRA is refused by its name", err)


def listed(c, client):
    all = {m.id: m for m in client.models.list()}
    tap.same((all["one"].parent, all["one"].root), (CHAT, "one"), "an adapter's parent is its base")
    tap.same(all[CHAT].parent, None, "the base has none")
    models = {m["name"]: m for m in c.json("GET", "/api/v1/models")[1]["models"]}
    tap.same((models["one"].get("base"), models["one"].get("rank")), (CHAT, 8), "base and rank are told")


def answers(c, client):
    names = [CHAT, "one", "two", "one-gguf"]
    alone = {name: ask(client, name) for name in names}
    for name in names:
        tap.note(f"{name}: {alone[name]!r}")
    tap.same(len({alone[CHAT], alone["one"], alone["two"]}), 3, "each says something else")
    tap.same(alone["one"], alone["one-gguf"], "an adapter says the same from either format")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        mixed = list(pool.map(lambda i: (names[i % 4], ask(client, names[i % 4])), range(12)))
    tap.ok(all(text == alone[name] for name, text in mixed), "together they say the same as alone", mixed)
    live = {m["name"]: m for m in c.json("GET", "/api/v1/models/live")[1]["models"]}
    tap.ok(live["one"]["base"] == CHAT and 0 < live["one"]["bytes"] < live[CHAT]["bytes"] / 10,
           "the base is open once; an adapter takes its own few bytes", live)
    said = [client.completions.create(model=m, prompt="The sea", max_tokens=8, temperature=0, logprobs=1)
            .choices[0].logprobs.token_logprobs for m in (CHAT, "two")]
    tap.ok(said[0] != said[1], "completions too", said)
    score = [client.completions.create(model=m, prompt="The sea is wide", max_tokens=1, echo=True, logprobs=1,
                                       temperature=0).choices[0].logprobs.token_logprobs[1] for m in (CHAT, "two")]
    tap.ok(score[0] != score[1], "so are the log probabilities of a prompt", score)


def receipts(c, client):
    r = client.chat.completions.create(model="one", messages=[{"role": "user", "content": "Hello"}], max_tokens=12,
                                       seed=5, temperature=1, extra_body={"receipt": True})
    receipt = r.model_extra["croft"]["receipt"]
    models = {m["name"]: m for m in c.json("GET", "/api/v1/models")[1]["models"]}
    tap.same((receipt["model_sha256"], receipt["base"], receipt["base_sha256"]),
             (models["one"]["sha256"], CHAT, models[CHAT]["sha256"]), "the receipt has the hashes of both")
    run = r.model_extra["croft"]["run"]
    code, out, err = c.cli("replay", run)
    tap.ok(code == 0, "and the answer replays", out + err)


def removal(c, client):
    status, said = c.json("POST", f"/api/v1/models/{CHAT}/unload")
    names = {m["name"] for m in c.json("GET", "/api/v1/models/live")[1]["models"]}
    tap.ok(status == 200 and not names & {CHAT, "one", "two"}, "a base is closed with its idle adapters", (said, names))
    tap.ok(ask(client, "two", n=4) is not None, "and opened again for one of them")
    code, out, err = c.cli("models", "rm", CHAT)
    tap.ok(code and "adapter" in err, "a base is not removed before its adapters", err)
    code, out, err = c.cli("models", "rm", "two")
    tap.ok(code == 0, "an adapter is", err)
    tap.raises(openai.NotFoundError, lambda: ask(client, "two", n=1), "and then nobody has heard of it")


def as_vllm(c, client):
    path = os.path.join(folder, "two.gguf")
    status, said = c.request("POST", "/v1/load_lora_adapter", {"lora_name": "late", "lora_path": path})
    tap.ok(status == 200 and b"late" in said, "/v1/load_lora_adapter, as vLLM has it", said)
    tap.ok(ask(client, "late", n=4) is not None, "and it answers")
    status, said = c.request("POST", "/v1/load_lora_adapter", {"lora_name": "bad", "lora_path": "/nowhere"})
    tap.ok(status == 404, "of a path that is not there: 404", said)
    status, said = c.request("POST", "/v1/unload_lora_adapter", {"lora_name": "late"})
    tap.ok(status == 200, "/v1/unload_lora_adapter", said)
    status, said = c.request("POST", "/v1/unload_lora_adapter", {"lora_name": CHAT})
    tap.ok(status == 400, "but not of a model that is no adapter", said)
    tap.raises(openai.NotFoundError, lambda: ask(client, "late", n=1), "it is gone")


with Croft(models=True) as c:
    client = openai.OpenAI(base_url=c.base + "/v1", api_key="none", max_retries=0)
    install(c)
    listed(c, client)
    answers(c, client)
    receipts(c, client)
    removal(c, client)
    as_vllm(c, client)
tap.done()
