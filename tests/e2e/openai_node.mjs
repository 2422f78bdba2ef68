import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const CHAT = "smollm2-135m-instruct";
const EMBED = "all-minilm-l6-v2";
const base = process.env.CROFT_BASE;
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "test-key", maxRetries: 0 });
const messages = [{ role: "user", content: "Name three colours." }];
let n = 0;
let failed = 0;

function ok(good, name, note) {
  n++;
  console.log(`${good ? "ok" : "not ok"} ${n} - ${name}`);
  if (!good) {
    failed++;
    if (note !== undefined) console.log("# " + JSON.stringify(note));
  }
}

async function raises(kind, fn, name) {
  try {
    await fn();
    ok(false, name, "nothing was raised");
  } catch (e) {
    ok(e instanceof kind, name, String(e));
    return e;
  }
}

async function api(path) {
  const r = await fetch(base + path, { headers: { authorization: "Bearer test-key" } });
  return r.json();
}

const ids = [];
for await (const m of client.models.list()) ids.push(m.id);
ok(ids.includes(CHAT) && ids.includes(EMBED), "models: list ends", ids);
ok((await client.models.retrieve(CHAT)).id === CHAT, "models: retrieve");

const r = await client.chat.completions.create({ model: CHAT, messages, max_tokens: 24, temperature: 0 });
const whole = r.choices[0].message.content;
ok(whole.length > 0 && r._request_id, "chat: text and request id", r);

let text = "";
let usage = null;
const stream = await client.chat.completions.create({
  model: CHAT, messages, max_tokens: 24, temperature: 0, stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
ok(text === whole, "stream: the same text", [text, whole]);
ok(usage && usage.total_tokens === r.usage.total_tokens, "stream: the same usage", usage);

const helper = client.chat.completions.stream({
  model: CHAT, messages, max_tokens: 24, temperature: 0, stop: [whole.split(/\s+/)[2]],
});
const parts = [];
helper.on("content", (delta) => parts.push(delta));
const final = await helper.finalChatCompletion();
ok(final.choices[0].message.content === parts.join("") && parts.length > 0, "stream: the client's own helper", final);

const input = ["The cat sits on the mat.", "Stock prices fell today."];
const asked = await client.embeddings.create({ model: EMBED, input }); // base64 under the hood
const floats = await client.embeddings.create({ model: EMBED, input, encoding_format: "float" });
ok(asked.data[0].embedding.length === 384, "embeddings: dimension", asked.data[0].embedding.length);
ok(asked.data.every((d, i) => d.embedding.every((x, k) => x === Math.fround(floats.data[i].embedding[k]))),
  "embeddings: base64 and float are the same");

const Cat = z.object({
  name: z.string().max(20),
  lives: z.number().int().min(1).max(9),
  coat: z.enum(["black", "red", "striped"]),
  friends: z.array(z.object({ name: z.string().max(10) })).max(2),
});
const cats = await Promise.all([1, 2, 3].map((seed) => client.chat.completions.parse({
  model: CHAT, messages: [{ role: "user", content: "Describe a cat as JSON." }], seed, temperature: 1.2,
  response_format: zodResponseFormat(Cat, "cat"),
})));
ok(cats.every((c) => c.choices[0].finish_reason === "stop" && Cat.safeParse(c.choices[0].message.parsed).success),
  "parse: a zod model, each time", cats.map((c) => c.choices[0].message.content));

let e = await raises(OpenAI.NotFoundError, () => client.chat.completions.create({ model: "gpt-9", messages }), "errors: unknown model");
ok(e?.code === "model_not_found", "errors: its code", e?.code);
e = await raises(OpenAI.BadRequestError, () => client.chat.completions.create({ model: CHAT, messages, temperature: 3 }), "errors: bad parameter");
ok(e?.param === "temperature", "errors: named", e?.param);
await raises(OpenAI.AuthenticationError, () => new OpenAI({ baseURL: base + "/v1", apiKey: "no", maxRetries: 0 }).models.list(), "errors: wrong key");

const long = await client.chat.completions.create({
  model: CHAT, messages: [{ role: "user", content: "Count to 10000." }], max_tokens: 3000, stream: true,
  logit_bias: { 2: -100 },
});
let seen = 0;
for await (const _ of long) if (++seen === 4) break; // leaving the loop closes the connection
const left = Date.now();
let why = null;
while (Date.now() - left < 8000 && !why) {
  await new Promise((f) => setTimeout(f, 50));
  const runs = (await api("/api/v1/runs?kind=chat&status=error")).runs;
  why = runs.find((x) => (x.error ?? "").includes("client went away")) ?? null;
}
ok(why !== null, `disconnect: noticed after ${Date.now() - left} ms`);

const many = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
  let t = "";
  const s = await client.chat.completions.create({
    model: CHAT, messages: [{ role: "user", content: `Say ${i % 2}.` }], max_tokens: 12, temperature: 0, stream: true,
  });
  for await (const c of s) t += c.choices[0]?.delta?.content ?? "";
  return t;
}));
ok(many.every((t, i) => t === many[i % 2]), "concurrent: equal requests have equal answers", many);

const question = { model: CHAT, input: "Count to three.", max_output_tokens: 12, temperature: 0 };
const first = await client.responses.create(question);
ok(first.output_text.length > 0 && first.id.startsWith("resp_"), "responses: a text", first);
const told = client.responses.stream(question);
const types = [];
for await (const event of told) types.push(event.type);
const end = await told.finalResponse();
ok(end.output_text === first.output_text && types[0] === "response.created", "responses: streamed, the same", types);
const kept = await client.responses.retrieve(first.id);
ok(kept.output_text === first.output_text, "responses: stored", kept);
const cat = await client.responses.parse({
  model: CHAT, input: "Invent a cat.", max_output_tokens: 200, text: { format: zodTextFormat(Cat, "cat") },
});
ok(Cat.safeParse(cat.output_parsed).success, "responses: parsed by a schema", cat.output_text);
const talk = await client.conversations.create({ items: [{ role: "user", content: "My name is Ada." }] });
await client.responses.create({ ...question, input: "What is my name?", conversation: talk.id });
const said = [];
for await (const item of client.conversations.items.list(talk.id, { order: "asc", limit: 2 })) said.push(item.role);
ok(said.join() === "user,user,assistant", "conversations: all its items, in pages", said);
const before = [];
const second = await client.responses.create({ ...question, previous_response_id: first.id });
for await (const item of client.responses.inputItems.list(second.id, { limit: 1 })) before.push(item.type);
ok(before.length === 3, "responses: what it continues", before);
let later = await client.responses.create({ ...question, background: true });
while (["queued", "in_progress"].includes(later.status)) {
  await new Promise((f) => setTimeout(f, 50));
  later = await client.responses.retrieve(later.id);
}
ok(later.output_text === first.output_text, "responses: in the background", later);
await client.responses.delete(first.id);
await raises(OpenAI.NotFoundError, () => client.responses.retrieve(first.id), "responses: deleted");

const store = await client.vectorStores.create({ name: "house" });
const lease = new File(["The notice period for tenants is three months."], "lease.md");
const filed = await client.vectorStores.files.uploadAndPoll(store.id, lease);
ok(filed.status === "completed", "vector stores: a file, polled", filed);
const more = ["Dogs are allowed in the garden.", "Cats stay indoors."].map((t, i) => new File([t], `rule${i}.txt`));
const filedAll = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files: more });
ok(filedAll.status === "completed" && filedAll.file_counts.completed === 2, "vector stores: a batch, polled", filedAll);
const listed = [];
for await (const f of client.vectorStores.files.list(store.id, { limit: 1, order: "asc" })) listed.push(f.id);
ok(listed.length === 3 && listed[0] === filed.id, "vector stores: files in pages", listed);
await client.vectorStores.files.update(filed.id, { vector_store_id: store.id, attributes: { kind: "law", year: 2026 } });
const hits = [];
const lookFor = { query: "notice period", filters: { type: "gte", key: "year", value: 2020 } };
for await (const hit of client.vectorStores.search(store.id, lookFor)) hits.push(hit.filename);
ok(hits.join() === "lease.md", "vector stores: a search with a filter", hits);
const fromFiles = await client.responses.create({
  model: CHAT, temperature: 0, max_output_tokens: 40, input: "How long is the notice period for tenants?",
  tools: [{ type: "file_search", vector_store_ids: [store.id] }], include: ["file_search_call.results"],
});
const note = fromFiles.output.find((i) => i.type === "message").content[0].annotations[0];
ok(fromFiles.output[0].results[0].file_id === filed.id && note?.file_id === filed.id,
  "responses: from files, with citations", fromFiles.output);
const text3 = [];
for await (const part of client.vectorStores.files.content(filed.id, { vector_store_id: store.id })) text3.push(part.text);
ok(text3.join().includes("three months"), "vector stores: the text of a file", text3);
ok((await client.vectorStores.delete(store.id)).deleted, "vector stores: deleted");

console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
