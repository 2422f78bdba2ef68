#!/usr/bin/env python3
"""`croft bench`: a table in 80 columns and JSON that agree with what was asked for; croft chat's lines and commands."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import BINARY, MODELS, Tap, skip_all  # noqa: E402
import tempfile

GGUF = os.path.join(MODELS, "smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
if not os.path.exists(GGUF):
    skip_all("the models are not there: make models")


def croft(home, *args, text=None):
    env = {**os.environ, "CROFT_HOME": home, "COLUMNS": "80", "CROFT_CHAT_CONTEXT_TOKENS": "512"}
    env.pop("CROFT_CONFIG", None)
    r = subprocess.run([BINARY, *args], input=text or "", capture_output=True, text=True, timeout=120, env=env, cwd=home)
    return r.returncode, r.stdout, r.stderr


def main(tap, home):
    code, _, err = croft(home, "pull", GGUF, "--name", "smollm2-135m-instruct")
    tap.ok(code == 0, "the model is there", err)

    code, out, err = croft(home, "bench", "--prompt", "64", "--tokens", "16", "--streams", "3")
    rows = [line.split() for line in out.splitlines()[2:]]
    tap.ok(code == 0 and [r[0] for r in rows] == ["1", "2", "3"], "a row for 1, 2 and so many streams", out + err)
    tap.ok(all(float(x) > 0 for r in rows for x in r), "every rate is above 0", out)
    tap.ok(all(len(line) <= 80 for line in out.splitlines()), "80 columns are enough", out)

    code, out, err = croft(home, "bench", "--json", "--prompt", "32", "--tokens", "8", "--streams", "1")
    got = json.loads(out)
    tap.ok(code == 0 and (got["streams"], got["prompt_tokens"], got["tokens"]) == (1, 32, 8)
              and got["parameters"] > 10**8 and got["written_tokens_per_s"] > 0, "as JSON", out + err)

    code, out, err = croft(home, "models", "plan", "--kv-type", "q8", "--context", "256")
    tap.ok(code == 0 and "keys and values" in out and "256 tokens" in out and "1024 tokens" in out
              and all(len(line) <= 80 for line in out.splitlines()), "models plan: a table", out + err)
    got = json.loads(croft(home, "models", "plan", "smollm2-135m-instruct", "--json")[1])
    tap.ok(got["total_bytes"] == got["weight_bytes"] + got["pass_bytes"] + got["kv_bytes"] + got["drafting_bytes"]
              and got["context_tokens"] == 512 and got["weights"] == "Q4_1" and got["fits"] == "now", "as JSON", got)
    code, out, err = croft(home, "models", "plan", "--context", "x")
    tap.ok(code == 2 and "context_tokens" in err, "models plan: a bad number", (code, err))

    for args, word in ((["--streams", "17"], "chat.sequences_max"), (["--prompt", "512"], "from 1 to 511"), (["--tokens", "no"], "number"),
                       (["--model", "gpt-4o"], "gpt-4o")):
        code, out, err = croft(home, "bench", "--tokens", "4", "--prompt", "8", *args)
        tap.ok(code != 0 and word in err, f"bench {' '.join(args)} is refused with the reason", out + err)

    turns = "/system Answer in one word.\n/set temperature 0\n/set max_tokens 5\nName a colour.\n/again\n/nonsense\n/new\n/help\nName a colour.\n/quit\nnever asked\n"
    code, out, err = croft(home, "chat", text=turns)
    answers = [line for line in out.splitlines() if line.strip()]
    tap.ok(code == 0 and "/nonsense" in err and "/help" in err, "an unknown command is named and passed over", out + err)
    tap.ok(len(answers) >= 3 and answers[0] == answers[1], "/again gives the same at temperature 0", out)
    tap.ok("/again" in err and "/set" in err, "/help lists the commands", err)
    code, runs, err = croft(home, "runs", "--json")
    tap.ok(runs.count("Name a colour.") >= 3 and "never asked" not in runs, "three questions were asked", runs[:500] + err)
    code, out, err = croft(home, "chat", "--json", "Say", "hello", "--max-tokens", "4")
    tap.ok(code == 0 and json.loads(out)["choices"][0]["message"]["content"], "one message, as JSON", out + err)
    code, out, err = croft(home, "chat", text="/set temperature 9\nHello\n/set temperature 0\n/set max_tokens 3\nHello\n")
    tap.ok(code == 0 and "temperature" in err and out.strip(), "a refused turn does not end the conversation", out + err)


if __name__ == "__main__":
    tap = Tap()
    with tempfile.TemporaryDirectory() as home:
        main(tap, home)
    tap.done()
