// Curation of a collection in headless Chromium: duplicates side by side, wrong labels accepted and kept by keyboard, a
// sample labelled, all of them in bulk, a dataset; at 1280 px and at 380 px.
import { becomes, equal, expect, main, open, overflow, startServer, test, use } from './browser.mjs'

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}
const payloads = async () => new Map((await api('GET', '/api/v1/collections/things/items?limit=1000')).items.map((i) => [i.id, i.payload]))

// three topics; 30 and 31 are copies of 0; the label of 3, 10 and 20 is another topic's; every tenth has no part
async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
  let seed = 7
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5
  const vector = (t) => [...Array(8).keys()].map((d) => (d === t ? 1 : 0) + 0.4 * random())
  const items = [...Array(90).keys()].map((i) => ({ id: i, vector: vector(i % 3), payload: {
    text: `text <b>${i}</b>`, topic: `topic ${([3, 10, 20].includes(i) ? i + 1 : i) % 3}`, ...(i % 10 ? {} : { part: `topic ${i % 3}` }) } }))
  for (const i of [30, 31]) items[i].vector = items[0].vector.map((x) => x + 0.0001 * i)
  items[31].payload.topic = 'topic 0'
  await api('PUT', '/api/v1/collections/things', { vectors: { size: 8, distance: 'Cosine' } })
  await api('PUT', '/api/v1/collections/things/items', { items })
}

async function all() {
  await test('web_curate__duplicates_side_by_side', async () => {
    const w = await open('/vectors/things')
    await w.page.getByText('Curate', { exact: true }).click()
    await w.page.getByText('Not looked for yet').waitFor()
    await w.page.getByLabel('Least cosine').fill('0.9999')
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await w.page.getByText('1 group of 3 items; 2 duplicates').waitFor()
    equal(await w.page.locator('.case').count(), 1, 'one group')
    equal(await w.page.locator('.case-item').count(), 3, 'of three')
    equal(await w.page.locator('.case-item.stays code').first().innerText(), '0', 'the first stays')
    expect((await w.page.locator('.case-item p').first().innerText()) === 'text <b>0</b>', 'texts are texts')
    await w.shot('curate-duplicates')
    await w.page.locator('.case').focus()
    await w.page.keyboard.press('a')
    await w.page.locator('.case.done').waitFor()
    await becomes(async () => { const p = await payloads(); return p.get(30).duplicate_of === 0 && p.get(31).duplicate_of === 0 && !('duplicate_of' in p.get(0)) }, 'tagged')
    await w.page.getByRole('button', { name: 'Make dataset version' }).click()
    await w.page.getByRole('dialog').getByLabel('Dataset').fill('clean')
    await w.page.getByRole('dialog').getByRole('button', { name: 'Make' }).click()
    await w.page.getByText('dataset/clean:1 with 88 rows.').waitFor()
    await w.page.getByRole('dialog').locator('button', { hasText: 'Close' }).click()
    await w.close()
  })

  await test('web_curate__wrong_labels_by_keyboard', async () => {
    const w = await open('/vectors/things?view=curate&kind=mislabelled')
    await w.page.getByLabel('Field of the label').selectOption('topic')
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await w.page.locator('.case').first().waitFor()
    const ids = await w.page.locator('.case .case-item:first-child > code:first-child').allInnerTexts()
    for (const i of ['3', '10', '20']) expect(ids.includes(i), `${i} is found among ${ids}`)
    await w.shot('curate-mislabelled')
    const nth = ids.indexOf('3'), kept = ids.indexOf('10')
    await w.page.locator('.case').nth(nth).focus()
    await w.page.keyboard.press('a')
    await w.page.locator('.case').nth(nth).getByText('accepted').waitFor()
    await w.page.locator('.case').nth(kept).focus()
    await w.page.keyboard.press('k')
    await w.page.locator('.case').nth(kept).getByText('kept').waitFor()
    await becomes(async () => { const p = await payloads(); return p.get(3).topic === 'topic 0' && p.get(10).topic === 'topic 2' && p.get(10).topic_checked === 'topic 2' }, 'written')
    await w.page.keyboard.press('ArrowUp')
    await w.page.getByRole('button', { name: 'Accept all' }).click()
    await w.page.getByRole('dialog').getByRole('button', { name: 'Accept' }).click()
    await w.page.getByText('labelled.').waitFor()
    await becomes(async () => (await payloads()).get(20).topic === 'topic 2', 'all of them')
    equal((await payloads()).get(10).topic, 'topic 2', 'but what was kept')
    await w.close()
  })

  await test('web_curate__a_sample_is_labelled', async () => {
    const w = await open('/vectors/things?view=curate&kind=sample')
    await w.page.getByLabel('Which').selectOption('uncertain')
    await w.page.getByLabel('Field of the label').selectOption('part')
    await w.page.getByLabel('How many').fill('5')
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await becomes(async () => (await w.page.locator('.case').count()) === 5, 'five')
    const first = Number(await w.page.locator('.case .case-item > code:first-child').first().innerText())
    await w.page.locator('.case-write input').first().fill('topic 1')
    await w.page.keyboard.press('Enter')
    await w.page.locator('.case.done').waitFor()
    await becomes(async () => (await payloads()).get(first).part === 'topic 1', 'its label is written')
    await w.shot('curate-sample')
    await w.close()
  })

  await test('web_curate__labels_spread_outliers_and_balance', async () => {
    const w = await open('/vectors/things?view=curate&kind=propagate')
    await w.page.getByLabel('Field of the label').selectOption('part')
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await w.page.getByText('labels offered to').waitFor()
    await w.shot('curate-propagate')
    await w.page.getByRole('button', { name: 'Next' }).click()
    await w.page.getByText('21 to 40 of').waitFor()
    await w.page.getByText('Balance', { exact: true }).click()
    await w.page.getByLabel('Field of the label').selectOption('topic')
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await w.page.getByText('3 classes').waitFor()
    equal(await w.page.locator('tbody tr').count(), 3, 'three rows')
    await w.page.getByText('Outliers', { exact: true }).click()
    await w.page.getByRole('button', { name: 'Look', exact: true }).click()
    await w.page.getByText('1 outlier of 90 items').waitFor()
    await w.page.getByRole('button', { name: 'Delete all' }).click()
    await w.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await w.page.getByText('1 item deleted.').waitFor()
    await w.close()
  })

  await test('web_curate__narrow_and_dark', async () => {
    for (const kind of ['duplicates', 'mislabelled', 'balance']) {
      const w = await open(`/vectors/things?view=curate&kind=${kind}`, { width: 380, dark: true })
      await w.page.locator('.curate-sum').waitFor()
      equal(await overflow(w.page), 0, `nothing sticks out of ${kind}`)
      await w.shot(`curate-narrow-${kind}`)
      await w.close()
    }
  })
}

await main(setUp, all)
