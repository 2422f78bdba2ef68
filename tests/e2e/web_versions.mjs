// Versions of a collection in headless Chromium: one is made, what has changed since is shown with how far items moved,
// one is restored, one is branched from, and the branch is merged with a conflict that somebody decides.
import { becomes, equal, expect, main, open, overflow, startServer, test, use } from './browser.mjs'

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}/api/v1/collections/points${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}
const items = (from, to, turn) => ({ items: [...Array(to - from).keys()].map((i) => ({ id: from + i,
  vector: [Math.cos((from + i) / 20 + turn), Math.sin((from + i) / 20 + turn)], payload: { n: from + i, note: '<b>not bold</b>' } })) })

async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
  await api('PUT', '', { vectors: { size: 2, distance: 'Cosine' } })
  await api('PUT', '/items', items(0, 60, 0))
}

const rows = (w) => w.page.locator('.versions-table tbody tr')
const state = (w, text) => w.page.locator('.versions-tab [role=status]', { hasText: text }).first().waitFor()

async function all() {
  await test('web_versions__one_is_made', async () => {
    const w = await open('/vectors/points?view=versions')
    await w.page.getByText('No version yet').waitFor()
    await w.page.getByRole('button', { name: 'Make a version' }).click()
    await w.page.getByLabel('What it is').fill('as imported')
    await w.page.getByLabel('Tag').fill('start')
    await w.page.getByRole('button', { name: 'Make it' }).click()
    await rows(w).first().getByText('as imported').waitFor()
    expect((await rows(w).first().innerText()).includes('start'), 'its tag is shown')
    await state(w, 'The items are those of points:1')
    await w.page.getByRole('button', { name: 'Make a version' }).click()
    await w.page.getByRole('button', { name: 'Make it' }).click()
    await w.page.getByText('Nothing has changed since version 1').waitFor()
    await w.close()
  })

  await test('web_versions__what_has_changed', async () => {
    await api('PUT', '/items', items(0, 5, 0.1))
    await api('PUT', '/items', items(5, 8, 1))
    await api('PUT', '/items', items(60, 62, 0))
    await api('POST', '/items/delete', { ids: [20] })
    const w = await open('/vectors/points?view=versions')
    await state(w, 'The items have changed since points:1')
    await w.page.getByRole('button', { name: 'What has changed' }).click()
    const diff = w.page.locator('.version-diff')
    await diff.getByText('2 added, 1 removed, 8 moved, 0 changed, 51 the same').waitFor()
    equal((await diff.locator('.moved-n').allInnerTexts()).map((t) => t || '0').join(), '0,5,0,0,0,0,0,3,0,0,0', 'a histogram of how far')
    await w.shot('versions-diff')
    await diff.getByLabel('Farthest first').check()
    await becomes(async () => Number(await diff.locator('td[data-name="Moved by"]').first().innerText()) > 0.4, 'the farthest first')
    await diff.getByText('Removed', { exact: true }).click()
    await becomes(async () => (await diff.locator('td[data-name=Id]').allInnerTexts()).join() === '20', 'only removed ones')
    equal(await diff.locator('.diff-table b').count(), 0, 'a payload is text')
    await w.close()
  })

  await test('web_versions__one_is_restored', async () => {
    const w = await open('/vectors/points?view=versions')
    await w.page.getByRole('button', { name: 'Restore version 1' }).click()
    await w.page.getByText('kept as one before').waitFor()
    await w.page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click()
    await becomes(async () => await rows(w).count() === 3, 'what had changed, and the restored one, are versions')
    await state(w, 'The items are those of points:3')
    equal((await api('GET', '')).items, 60, 'all are back')
    await w.close()
  })

  await test('web_versions__a_branch_is_merged', async () => {
    const w = await open('/vectors/points?view=versions')
    await w.page.getByRole('button', { name: 'Branch from version 3' }).click()
    await w.page.getByLabel('Its name').fill('topic')
    await w.page.getByRole('dialog').getByRole('button', { name: 'Branch' }).click()
    await w.page.locator('h1', { hasText: 'topic' }).waitFor()
    await w.close()
    for (const name of ['points', 'topic']) {
      const turn = name === 'topic' ? 0.5 : 0.2
      const r = await fetch(`${server.base}/api/v1/collections/${name}/items`, { method: 'PUT', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ items: [...items(0, 2, turn).items, ...(name === 'topic' ? items(70, 73, 0).items : [])] }) })
      expect(r.ok, 'both change items 0 and 1')
    }
    const m = await open('/vectors/points?view=versions')
    await m.page.getByRole('button', { name: 'Merge…' }).click()
    await m.page.getByText('+3 −0 ~0, 2 conflicts').waitFor()
    await m.shot('versions-merge')
    await m.page.getByRole('dialog').getByRole('button', { name: 'Merge' }).click()
    await m.page.getByText('2 conflicts not decided').waitFor()
    await m.page.getByLabel('Which /vector of 0').selectOption('theirs')
    await m.page.getByLabel('Which /vector of 1').selectOption('ours')
    await m.page.getByRole('dialog').getByRole('button', { name: 'Merge' }).click()
    await rows(m).first().getByText('merge of topic:1').waitFor()
    equal((await api('GET', '')).items, 63, 'what only the branch had is here')
    const [first] = (await api('GET', '/items?limit=1&vectors=true')).items
    expect(Math.abs(first.vector[0] - Math.cos(0.5)) < 1e-5, 'and theirs of item 0')
    await m.close()
  })

  await test('web_versions__one_is_searched', async () => {
    const w = await open('/vectors/points?view=versions')
    await w.page.getByRole('button', { name: 'Search in version 2' }).click()
    await w.page.getByText('As of version 2').waitFor()
    await w.page.getByRole('button', { name: 'What is near to 5', exact: true }).click()
    await w.page.getByText('compared, exact').waitFor()
    await w.shot('versions-search')
    await w.page.getByRole('button', { name: 'Now', exact: true }).click()
    await becomes(async () => await w.page.getByText('As of version 2').count() === 0, 'and left again')
    await w.close()
  })

  await test('web_versions__a_narrow_screen', async () => {
    const w = await open('/vectors/points?view=versions&from=1&to=2', { width: 380 })
    await w.page.locator('.moved-bars').waitFor()
    equal(await overflow(w.page), 0, 'nothing sticks out')
    await w.shot('versions-narrow')
    await w.close()
  })
}

await main(setUp, all)
