import { QdrantClient } from "@qdrant/js-client-rest";

const warnings = [];
console.warn = (...w) => warnings.push(w.join(" "));
const client = new QdrantClient({ url: process.env.CROFT_BASE, apiKey: "test-key" });
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

async function status(fn) {
  try {
    await fn();
    return 200;
  } catch (e) {
    return e.status;
  }
}

const ids = (points) => points.map((p) => p.id).join();
await client.createCollection("js", { vectors: { size: 3, distance: "Cosine" } });
ok((await client.collectionExists("js")).exists, "a collection is made");
ok((await client.getCollection("js")).config.params.vectors.size === 3, "and described");
ok(!warnings.some((w) => /version/i.test(w)), "the client takes the server's version", warnings);
const uuid = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26";
const done = await client.upsert("js", { wait: true, points: [
  { id: 1, vector: [1, 0, 0], payload: { a: 1, tag: "x" } },
  { id: 2, vector: [0, 1, 0], payload: { a: 2 } },
  { id: uuid, vector: [0, 0, 1] }] });
ok(done.status === "completed", "points are put", done);
const near = await client.query("js", { query: [0.9, 0.5, 0], limit: 2, with_payload: true });
ok(ids(near.points) === "1,2" && near.points[0].payload.tag === "x", "and found", near);
ok(ids(await client.search("js", { vector: [0, 0.1, 1], limit: 1 })) === uuid, "also by the older call");
const page = await client.scroll("js", { limit: 2 });
ok(ids(page.points) === "1,2" && page.next_page_offset === uuid, "scrolling", page);
ok((await client.count("js")).count === 3, "counting");
await client.setPayload("js", { payload: { b: true }, points: [2] });
const got = await client.retrieve("js", { ids: [2], with_vector: true });
ok(got[0].payload.b === true && got[0].vector.join() === "0,1,0", "a payload is set, a vector read", got);
await client.delete("js", { points: [1] });
ok(ids(await client.retrieve("js", { ids: [1, 2] })) === "2", "a point is deleted");
ok(await status(() => client.getCollection("none")) === 404, "no such collection: 404");
ok(await status(() => client.upsert("js", { points: [{ id: 1, vector: [1] }] })) === 400, "a wrong vector: 400");
const stranger = new QdrantClient({ url: process.env.CROFT_BASE, apiKey: "wrong", checkCompatibility: false });
ok(await status(() => stranger.getCollections()) === 401, "a wrong key: 401");
await client.deleteCollection("js");
ok(!(await client.collectionExists("js")).exists, "a collection is deleted");
console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
