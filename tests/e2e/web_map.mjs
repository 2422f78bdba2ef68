// The map of a collection in headless Chromium: made from the page, drawn, coloured by a field, an item
// under the pointer, a line around some of them that selects, saves and tags; lines of density, what is marked and
// what was found; in space, turned; a million points (POINTS) and how long a frame takes; at 1280 px and at 380 px.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { becomes, equal, expect, main, open, overflow, startServer, test, use } from './browser.mjs'

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}

const topics = [['kettle', 'steam'], ['violin', 'bow'], ['glacier', 'ice']]
/** An endpoint for embeddings: a text is how often it names each topic. */
const stub = createServer((rq, rs) => {
  let body = ''
  rq.on('data', (d) => (body += d)).on('end', () => {
    const { input } = JSON.parse(body)
    rs.setHeader('content-type', 'application/json')
    rs.end(JSON.stringify({ object: 'list', usage: { prompt_tokens: 1, total_tokens: 1 }, data: [input].flat().map((t, index) => ({
      object: 'embedding', index, embedding: [0.01, ...topics.map((words) => words.filter((w) => t.includes(w)).length), (t.length % 97) / 400] })) }))
  })
})

async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
  let seed = 7
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5
  await api('PUT', '/api/v1/collections/things', { vectors: { size: 6, distance: 'Cosine' } })
  await api('PUT', '/api/v1/collections/things/items', { items: [...Array(300).keys()].map((i) => ({ id: i,
    vector: [...Array(6).keys()].map((d) => (d === i % 3 ? 1 : 0) + 0.25 * random()),
    payload: { text: `the ${topics[i % 3][0]} <b>and</b> ${topics[i % 3][1]}`, kind: `kind ${i % 3}`, weight: i } })) })
}

/** Are there points of several colours? */
const colours = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => {
  const from = document.querySelector('.map-canvas canvas'), to = document.createElement('canvas')
  to.width = from.width
  to.height = from.height
  const c = to.getContext('2d')
  c.drawImage(from, 0, 0)
  const seen = new Set(), d = c.getImageData(0, 0, to.width, to.height).data
  for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add(`${d[i] >> 4},${d[i + 1] >> 4},${d[i + 2] >> 4}`)
  done(seen.size)
})))

async function all() {
  await test('web_map__one_is_made', async () => {
    const w = await open('/vectors/things')
    await w.page.getByText('Map', { exact: true }).click()
    await w.page.getByText('No map yet').waitFor()
    await w.page.getByRole('button', { name: 'Make a map' }).click()
    await w.page.locator('.map-canvas canvas').waitFor({ timeout: 60_000 })
    equal((await w.page.locator('.map-label').allInnerTexts()).sort().join('; '), 'bow, violin; glacier, ice; kettle, steam', 'names')
    equal(await w.page.locator('ul.map-legend li').count(), 3, 'three clusters')
    console.log(`# drawn by ${await w.page.locator('.map-canvas').getAttribute('data-how')}`)
    await w.shot('map')
    await w.close()
  })

  await test('web_map__colours_and_the_item_under_the_pointer', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.locator('.map-canvas canvas').waitFor()
    await becomes(async () => (await colours(w.page)) >= 3, 'three colours')
    await w.page.locator('.map-by select').first().selectOption('kind')
    await w.page.locator('ul.map-legend', { hasText: 'kind 2' }).waitFor()
    await w.shot('map-field')
    await w.page.locator('.map-by select').first().selectOption('weight')
    await w.page.locator('.map-range').waitFor()
    equal((await w.page.locator('.map-ends span').allInnerTexts()).join(), '0,299', 'from to')
    // over the picture until there is an item
    const box = await w.page.locator('.map-canvas').boundingBox()
    for (let y = 30; y < box.height && !(await w.page.locator('.map-item').count()); y += 6)
      for (let x = 10; x < box.width && !(await w.page.locator('.map-item').count()); x += 24)
        await w.page.mouse.move(box.x + x, box.y + y, { steps: 4 })
    await w.page.locator('.map-item p', { hasText: '<b>and</b>' }).waitFor()
    await w.shot('map-item')
    await w.page.locator('.map-canvas').press('+')
    await w.page.locator('.map-canvas').press('0')
    await w.close()
  })

  await test('web_map__a_line_selects', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.locator('.map-canvas canvas').waitFor()
    await w.page.getByText('Select', { exact: true }).click()
    const box = await w.page.locator('.map-canvas').boundingBox()
    const at = [[4, 60], [box.width - 120, 4], [box.width - 4, box.height - 4], [4, box.height - 4]]
    await w.page.mouse.move(box.x + at[0][0], box.y + at[0][1])
    await w.page.mouse.down()
    for (const [x, y] of at.slice(1)) await w.page.mouse.move(box.x + x, box.y + y, { steps: 3 })
    await w.page.mouse.up()
    await w.page.locator('.map-selected', { hasText: 'selected' }).waitFor()
    const n = Number((await w.page.locator('.map-selected strong').innerText()).split(' ')[0])
    expect(n > 100 && n <= 300, `many are inside: ${n}`)
    await w.page.locator('.map-list li').first().waitFor()
    await w.shot('map-selected')
    const [file] = await Promise.all([w.page.waitForEvent('download'), w.page.getByRole('button', { name: 'Save as JSONL' }).click()])
    const lines = readFileSync(await file.path(), 'utf8').trim().split('\n').map((l) => JSON.parse(l))
    equal(lines.length, n, 'lines')
    expect(lines.every((l) => l.payload.text.startsWith('the ')), 'each with its payload')
    await w.page.getByRole('button', { name: 'Tag', exact: true }).click()
    await w.page.getByLabel('Value').fill('seen')
    await w.page.getByRole('dialog').getByRole('button', { name: 'Tag' }).click()
    await becomes(async () => (await api('POST', '/collections/things/points', { ids: lines.map((l) => l.id), with_payload: true }))
      .result.every((p) => p.payload.tag === 'seen'), 'all are tagged')
    await w.page.getByText(`${n} items tagged.`).waitFor()
    await w.page.getByRole('button', { name: 'Label', exact: true }).click()
    await w.page.getByLabel('Field of the label').fill('kind')
    await w.page.getByLabel('Label', { exact: true }).fill('kind 2')
    await w.shot('map-label')
    await w.page.getByRole('dialog').getByRole('button', { name: 'Label' }).click()
    await w.page.getByText(`${n} items labelled.`).waitFor()
    expect((await api('POST', '/collections/things/points', { ids: lines.map((l) => l.id), with_payload: true }))
      .result.every((p) => p.payload.kind === 'kind 2' && p.payload.tag === 'seen'), 'all are labelled')
    await w.page.getByRole('button', { name: 'Make dataset version' }).click()
    await w.page.getByRole('textbox', { name: 'Dataset' }).fill('things-picked')
    await w.page.getByRole('dialog').getByRole('button', { name: 'Make' }).click()
    await w.page.getByText(`dataset/things-picked:1 with ${n} rows.`).waitFor()
    const made = await api('GET', '/api/v1/collections/things/bulk')
    equal(made.jobs.map((j) => `${j.what} ${j.state} ${j.items}`).join(), `dataset done ${n},set done ${n},set done ${n}`, 'three jobs')
    await w.shot('map-dataset')
    await w.close()
    for (let i = 0; i < 300; i++) if (i % 3 !== 2) await api('POST', '/collections/things/points/payload',
      { payload: { kind: `kind ${i % 3}` }, points: [i] })
  })

  await test('web_map__a_part', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.getByRole('button', { name: 'A part' }).click()
    await w.page.getByLabel('Only where this field').selectOption('kind')
    await w.page.getByLabel('is this').fill('kind 1')
    await w.page.getByRole('button', { name: 'Map these' }).click()
    await w.page.getByText('100 items where kind is kind 1').waitFor({ timeout: 30_000 })
    await w.shot('map-part')
    await w.page.getByRole('button', { name: 'All items' }).click()
    await w.page.getByText('300 items, 3 clusters').waitFor({ timeout: 30_000 })
    await api('POST', '/collections/things/points/payload', { payload: { seen: 1 }, points: [1] }) // so that it is old
    await w.close()
  })

  await test('web_map__it_says_that_it_is_old', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.getByRole('button', { name: 'Add what is new' }).click()
    await becomes(async () => !(await w.page.getByRole('button', { name: 'Add what is new' }).count()), 'it is new')
    await w.close()
  })

  await test('web_map__overlays', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.locator('.map-canvas canvas').waitFor()
    await w.page.getByLabel('Density').check()
    await becomes(async () => (await w.page.locator('.map-contours path').count()) === 5, 'five lines')
    const d = await w.page.locator('.map-contours path').last().getAttribute('d')
    expect(d.length > 100 && !d.includes('NaN'), 'the innermost is there, too')
    await w.shot('map-density')
    await w.page.getByLabel('Density').uncheck()
    await w.page.getByLabel('Mark by the field').selectOption('kind')
    await w.page.getByLabel('Mark the value').selectOption('kind 1')
    const red = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => {
      const from = document.querySelector('.map-canvas canvas'), to = document.createElement('canvas')
      to.width = from.width
      to.height = from.height
      to.getContext('2d').drawImage(from, 0, 0)
      const d = to.getContext('2d').getImageData(0, 0, to.width, to.height).data
      let n = 0
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && d[i] > 200 && d[i + 1] < 60 && d[i + 2] < 60) n++
      done(n)
    })))
    await becomes(async () => (await red(w.page)) > 500, 'what is marked is red')
    await w.shot('map-marked')
    await w.page.getByLabel('Mark by the field').selectOption('')
    for (let i = 0; i < 5; i++) await api('POST', '/api/v1/collections/things/search', { vector: [1, 0, 0, 0, 0, 0], k: 4 })
    await w.page.locator('.map-by select').first().selectOption('How often found')
    await w.page.getByText('20 hits of 4 items').waitFor()
    equal((await w.page.locator('.map-ends span').allInnerTexts()).join(), '0,5', 'each of the four five times')
    await w.shot('map-traffic')
    await w.close()
  })

  await test('web_map__in_space', async () => {
    const w = await open('/vectors/things?view=map')
    await w.page.getByRole('button', { name: 'In space' }).click()
    await w.page.getByRole('button', { name: 'In the plane' }).waitFor({ timeout: 30_000 })
    const map = (await api('GET', '/api/v1/collections/things/map')).map
    equal(map.dims, 3, 'dimensions')
    equal(Buffer.from(map.data.xy, 'base64').length, 300 * 12, 'three numbers for each')
    await becomes(async () => (await colours(w.page)) >= 3, 'three colours')
    const place = () => w.page.locator('.map-label').first().getAttribute('style')
    const before = await place(), box = await w.page.locator('.map-canvas').boundingBox()
    await w.shot('map-space')
    await w.page.mouse.move(box.x + 200, box.y + 200)
    await w.page.mouse.down()
    await w.page.mouse.move(box.x + 420, box.y + 260, { steps: 5 })
    await w.page.mouse.up()
    await becomes(async () => (await place()) !== before, 'it turns')
    await w.shot('map-space-turned')
    const name = await w.page.locator('.map-label').first().boundingBox()
    for (let y = -40; y < 60 && !(await w.page.locator('.map-item').count()); y += 8)
      for (let x = -40; x < 80 && !(await w.page.locator('.map-item').count()); x += 12)
        await w.page.mouse.move(name.x + name.width / 2 + x, name.y + y, { steps: 3 })
    await w.page.locator('.map-item p', { hasText: '<b>and</b>' }).waitFor()
    await w.page.getByText('Select', { exact: true }).click()
    const at = [[4, 60], [box.width - 120, 4], [box.width - 4, box.height - 4], [4, box.height - 4]]
    await w.page.mouse.move(box.x + at[0][0], box.y + at[0][1])
    await w.page.mouse.down()
    for (const [x, y] of at.slice(1)) await w.page.mouse.move(box.x + x, box.y + y, { steps: 3 })
    await w.page.mouse.up()
    await w.page.locator('.map-selected', { hasText: 'selected' }).waitFor()
    await w.page.getByRole('button', { name: 'Principal components' }).click()
    await becomes(async () => (await api('GET', '/api/v1/collections/things/map?data=false')).map.method === 'pca', 'components')
    equal((await api('GET', '/api/v1/collections/things/map?data=false')).map.share.length, 3, 'three of them')
    await w.close()
  })

  await test('web_map__where_the_hits_of_a_question_are', async () => {
    await new Promise((done) => stub.listen(0, '127.0.0.1', done))
    await api('POST', '/api/v1/endpoints', { name: 'topics', url: `http://127.0.0.1:${stub.address().port}/v1`, model: 'topics' })
    await api('PUT', '/api/v1/collections/asked', { vectors: { model: 'topics' } })
    await api('PUT', '/api/v1/collections/asked/items', { items: [...Array(240).keys()].map((i) =>
      ({ id: i, text: `the ${topics[i % 3][0]} and the ${topics[i % 3][1]}${' again'.repeat(i % 11)}`, payload: { topic: i % 3 } })) })
    const w = await open('/vectors/asked?view=map')
    await w.page.getByRole('button', { name: 'Make a map' }).click()
    await w.page.locator('.map-canvas canvas').waitFor({ timeout: 60_000 })
    await w.page.getByLabel('A question whose hits are shown').fill('where is the violin')
    await w.page.getByLabel('A question whose hits are shown').press('Enter')
    await w.page.getByText('30 hits on the map').waitFor()
    equal(await w.page.locator('.map-hit').count(), 30, 'each is numbered')
    const hits = (await api('POST', '/api/v1/collections/asked/search', { text: 'where is the violin', k: 30 })).hits
    expect(hits.every((h) => h.id % 3 === 1), 'they are of the topic')
    // the numbers stand where the map has those items
    const map = (await api('GET', '/api/v1/collections/asked/map')).map, raw = Buffer.from(map.data.xy, 'base64')
    const shown = (await w.page.locator('.map-hit').evaluateAll((list) => list.map((e) => [Number(e.textContent), +e.dataset.x, +e.dataset.y])))
      .sort((a, b) => a[0] - b[0])
    const off = shown.filter(([rank, x, y]) => {
      const i = map.data.ids.indexOf(hits[rank - 1].id)
      return Math.abs(raw.readFloatLE(8 * i) - x) + Math.abs(raw.readFloatLE(8 * i + 4) - y) > 1e-4
    })
    equal(off.length, 0, 'and in their order')
    await w.shot('map-hits')
    await w.page.getByLabel('A question whose hits are shown').fill('')
    await becomes(async () => (await w.page.locator('.map-hit').count()) === 0, 'they go')
    await w.close()
    stub.close()
  })

  const many = Number(process.env.POINTS ?? 100_000)
  await test('web_map__many_points', async () => {
    for (const dims of [2, 3]) {
      const w = await open('/vectors/things')
      // the page as it is, with a map of many points in place of the server's
      const xy = new Float32Array(many * dims), cluster = new Int32Array(many)
      for (let i = 0; i < many; i++) {
        cluster[i] = i % 50
        for (let d = 0; d < dims; d++) xy[i * dims + d] = Math.sin(i * 12.9898 * (d + 1)) * 3 + Math.cos((i % 50) * (d + 1.7)) * 20
      }
      const map = { method: 'umap', dims, space: '', mode: 'new', neighbours: 15, min_dist: 0.1, seed: 0, took_ms: 1, share: null, fields: [],
        clusters: [...Array(50).keys()].map((n) => ({ number: n, size: many / 50, label: `cluster ${n}`, x: 0, y: 0, bounds: [] })),
        points: many, noise: 0, seq: 1, behind: 0, made: new Date().toISOString(),
        data: { ids: [...Array(many).keys()], xy: Buffer.from(xy.buffer).toString('base64'), cluster: Buffer.from(cluster.buffer).toString('base64') } }
      await w.page.route('**/collections/things/map*', (route) => route.fulfill({ json: { state: 'idle', error: null, progress: null, map } }))
      const begun = Date.now()
      await w.page.getByText('Map', { exact: true }).click()
      await w.page.locator('.map-canvas canvas').waitFor({ timeout: 120_000 })
      const there = Date.now() - begun
      await becomes(async () => (await colours(w.page)) >= 10, 'many colours')
      const drawn = Date.now() - begun
      // a frame is drawn when its pixels are there to be read
      const ms = await w.page.evaluate(async () => {
        const el = document.querySelector('.map-canvas'), gl = el.querySelector('canvas').getContext('webgl')
        const times = []
        for (let i = 0; i < 12; i++) {
          const began = performance.now()
          el.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }))
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
          gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4))
          times.push(performance.now() - began)
        }
        return times.sort((a, b) => a - b)[6]
      })
      await w.page.locator('.map-canvas').press('0') // it was moved away
      // when it stands still all points are there again: as many colours as before
      await becomes(async () => (await colours(w.page)) >= 10, 'many colours again')
      const slow = await w.page.locator('.map-canvas').getAttribute('data-slow')
      console.log(`# ${many} points in ${dims} dimensions: the canvas is there after ${there} ms, drawn after ${drawn} ms; a frame while it moves takes ${ms.toFixed(0)} ms${slow === 'true' ? ', of 100,000 of them' : ''} (software GL: no GPU here)`)
      await w.shot(`map-many-${dims}`)
      await w.close()
    }
  })

  await test('web_map__narrow_and_dark', async () => {
    const w = await open('/vectors/things?view=map', { width: 380, dark: true })
    await w.page.locator('.map-canvas canvas').waitFor()
    equal(await overflow(w.page), 0, 'nothing sticks out')
    await w.shot('map-narrow')
    await w.close()
  })
}

await main(setUp, all)
