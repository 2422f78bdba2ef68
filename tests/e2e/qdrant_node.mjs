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
await client.upsert("js", { points: [1, 2, 3, 4].map((i) => ({ id: i, vector: [1, i, 0], payload: { tag: i % 2 ? "odd" : "even", n: i } })) });
ok(ids(await client.recommend("js", { positive: [4], negative: [1], limit: 2 })) === "3,2", "examples by the older call",
  await client.recommend("js", { positive: [4], negative: [1], limit: 2 }));
const several = await client.recommendBatch("js", { searches: [{ positive: [1], limit: 1 }, { positive: [4], limit: 1, filter: { must: [{ key: "n", range: { lt: 3 } }] } }] });
ok(several.map(ids).join(" ") === "2 2", "several", several);
const grouped = await client.recommendPointGroups("js", { positive: [1], group_by: "tag", limit: 2, group_size: 1 });
ok(grouped.groups.map((g) => g.id + ids(g.hits)).join() === "even2,odd3", "in groups", grouped);
const found = await client.discoverPoints("js", { target: 4, context: [{ positive: 3, negative: 1 }], limit: 1 });
ok(ids(found) === "2", "discovery by the older call", found);
ok(ids((await client.discoverBatchPoints("js", { searches: [{ target: 4, limit: 1 }] }))[0]) === "3", "several");
const boosted = await client.query("js", { prefetch: { query: [1, 1, 0], limit: 4 }, limit: 1,
  query: { formula: { sum: ["$score", { mult: [10, { key: "n", match: { value: 3 } }] }] } } });
ok(ids(boosted.points) === "3" && boosted.points[0].score > 10, "a boost", boosted);
await client.updateCollectionAliases({ actions: [{ create_alias: { collection_name: "js", alias_name: "live" } }] });
ok((await client.count("live")).count === 5 && (await client.getCollectionAliases("js")).aliases[0].alias_name === "live", "an alias");
await client.createPayloadIndex("js", { field_name: "tag", field_schema: "keyword" });
ok((await client.getCollection("js")).payload_schema.tag.points === 4, "an index of a field");
ok((await client.searchMatrixPairs("js", { sample: 10, limit: 1 })).pairs.length === 5, "pairs");
ok((await client.collectionClusterInfo("js")).shard_count === 1 && (await client.getOptimizations("js")).summary.queued_points === 0, "about the server");
await client.deleteCollection("js");
ok(!(await client.collectionExists("js")).exists, "a collection is deleted");
console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
