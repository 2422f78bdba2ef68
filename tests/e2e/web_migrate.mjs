// A collection moves to another model on its page: what it takes, progress, how much the answers agree, cut over and back;
// its recall and memory; in headless Chromium at 1280 px and at 380 px.
import { createServer } from 'node:http'
import { becomes, equal, expect, main, open, overflow, startServer, test, use } from './browser.mjs'

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}

/** Words to numbers: "16-a" makes 16 of them. */
function vector(model, text) {
  const [dim, seed] = model.split('-'), v = new Array(Number(dim)).fill(0.01)
  for (const word of text.split(' ')) {
    let h = seed.charCodeAt(0)
    for (const c of word) h = (h * 31 + c.charCodeAt(0)) >>> 0
    v[h % v.length] += 1
  }
  return v
}

const stub = createServer((rq, rs) => {
  let body = ''
  rq.on('data', (d) => (body += d)).on('end', () => {
    const { model, input } = JSON.parse(body)
    rs.setHeader('content-type', 'application/json')
    rs.end(JSON.stringify({ object: 'list', usage: { prompt_tokens: 1, total_tokens: 1 },
      data: [input].flat().map((t, index) => ({ object: 'embedding', index, embedding: vector(model, t) })) }))
  })
})

async function setUp() {
  await new Promise((done) => stub.listen(0, '127.0.0.1', done))
  server = use(await startServer({ CROFT_COLLECTION_RECALL_EVERY: '200ms' }, undefined, { bare: true }))
  for (const name of ['16-a', '24-b'])
    await api('POST', '/api/v1/endpoints', { name, url: `http://127.0.0.1:${stub.address().port}/v1`, model: name })
  await api('PUT', '/api/v1/collections/faq', { vectors: { model: '16-a' } })
  await api('PUT', '/api/v1/collections/faq/items', { items: [...Array(200).keys()].map((i) =>
    ({ id: i, text: `word${i % 17} other${i % 5} third${i % 29}`, payload: { n: i } })) })
  await api('PUT', '/api/v1/collections/faq/items', { items: [{ id: 'bare', vector: vector('16-a', 'x') }] })
}

async function all() {
  await test('web_migrate__what_it_takes_is_said_before', async () => {
    const w = await open('/vectors/faq?view=model')
    await w.page.fill('input[list=embedding-models]', '24-b')
    await w.page.getByRole('button', { name: 'What it takes' }).click()
    await w.page.getByText('201 items: 16-a (16) to 24-b (24)').waitFor()
    const begin = w.page.getByRole('button', { name: 'Begin' })
    expect(await begin.isDisabled(), 'an item without a text is the reader\'s decision')
    await w.page.getByLabel(/Leave out 1 item without a text/).check()
    await w.shot('migrate-plan')
    await begin.click()
    await w.page.locator('.badge', { hasText: 'Ready' }).waitFor()
    await w.page.getByText('1 item without a vector in the other space').click()
    await w.page.getByText('it has no text').waitFor()
    await w.close()
  })

  await test('web_migrate__agreement_cut_over_and_back', async () => {
    await api('POST', '/api/v1/collections/faq/migrations/cancel', {})
    await api('POST', '/api/v1/collections/faq/migrations', { to: '24-b', skip_without_text: true, shadow: 1 })
    const w = await open('/vectors/faq?view=model')
    await w.page.locator('.move').first().locator('.badge', { hasText: 'Ready' }).waitFor()
    for (let i = 0; i < 25; i++) await api('POST', '/api/v1/collections/faq/search', { text: `word${i % 17} third${i}`, k: 10 })
    await api('POST', '/api/v1/collections/faq/migrations/judge', { name: 'some', queries: [{ id: 'q', text: 'word3 other3 third3' },
      { id: 'r', text: 'word4 third4' }], qrels: [['q', '3', 1], ['r', '4', 1]] })
    await w.page.getByText('25 queries answered in both spaces').waitFor()
    await w.page.locator('td', { hasText: 'nDCG@10' }).waitFor()
    await w.shot('migrate-ready')
    await w.page.getByRole('button', { name: 'Cut over' }).click()
    await w.page.locator('.facts', { hasText: '24-b' }).waitFor()
    equal((await api('GET', '/api/v1/collections/faq')).spaces[0].model, '24-b', 'the new model answers')
    await w.page.getByRole('button', { name: 'Back to 16-a' }).click()
    await w.page.locator('.move').first().locator('.badge', { hasText: 'Rolled back' }).waitFor()
    equal((await api('GET', '/api/v1/collections/faq')).spaces[0].model, '16-a', 'the former answers again')
    await w.page.getByRole('button', { name: 'Cut over' }).click()
    await w.page.getByRole('button', { name: 'Drop 16-a' }).click()
    await w.page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click()
    await w.page.locator('.move').first().locator('.badge', { hasText: 'Done' }).waitFor()
    await w.close()
  })

  await test('web_migrate__recall_and_memory', async () => {
    const w = await open('/vectors/faq?view=recall')
    await w.page.getByText('every search is exact').first().waitFor()
    await w.page.getByLabel('Recall to reach').fill('0.9')
    await w.page.getByRole('button', { name: 'Set' }).click()
    await w.page.getByText('In all').waitFor()
    await w.shot('recall')
    await becomes(async () => (await api('GET', '/api/v1/collections/faq/recall')).recall_target === 0.9, 'a target is set')
    await w.close()
  })

  await test('web_migrate__recall_of_filtered_queries', async () => {
    const point = () => [...Array(12)].map(() => Math.random() - 0.5)
    await api('PUT', '/api/v1/collections/many', { vectors: { size: 12, distance: 'Cosine' } })
    for (let from = 0; from < 12000; from += 2000)
      await api('PUT', '/api/v1/collections/many/items', { items: [...Array(2000).keys()].map((i) => ({ id: from + i, vector: point(), payload: { n: i % 10 } })) })
    const measured = async () => (await api('GET', '/api/v1/collections/many/recall')).spaces[0].filtered[0].now
    await becomes(async () => {
      for (let i = 0; i < 20; i++) {
        await api('POST', '/api/v1/collections/many/search', { vector: point(), k: 10 })
        await api('POST', '/api/v1/collections/many/search', { vector: point(), k: 10, filter: { must: [{ key: 'n', range: { gte: 1 } }] } })
      }
      return (await measured())?.queries > 5
    }, 'filtered queries are measured')
    for (const width of [1280, 380]) {
      const w = await open('/vectors/many?view=recall', { width })
      await w.page.getByText('With filters that 33 to 100 % of the items match').waitFor()
      await w.page.getByRole('region', { name: /filtered from 33/ }).getByText(/effort \d+/).first().waitFor()
      equal(await overflow(w.page), 0, 'nothing sticks out')
      await w.shot(`recall-filtered-${width}`)
      await w.close()
    }
  })

  await test('web_migrate__a_narrow_screen', async () => {
    for (const view of ['model', 'recall']) {
      const w = await open(`/vectors/faq?view=${view}`, { width: 380 })
      await w.page.locator('.move').first().waitFor()
      equal(await overflow(w.page), 0, `nothing sticks out of ${view}`)
      await w.shot(`migrate-narrow-${view}`)
      await w.close()
    }
  })
  stub.close()
}

await main(setUp, all)
