// The pages of collections in headless Chromium: an empty list says what to type, items are listed and
// searched by words and by nearness, one is deleted; at 1280 px and at 380 px.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { becomes, dir, equal, expect, main, open, overflow, root, run, settles, skipAll, startServer, test, use } from './browser.mjs'

const minilm = join(process.env.CROFT_TEST_MODELS ?? join(root, 'build', 'models'), 'minilm')
if (!existsSync(minilm)) skipAll(`${minilm} is not there`)

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}

async function setUp() {
  run('pull', minilm, '--name', 'all-minilm-l6-v2')
  server = use(await startServer({}, undefined, { bare: true }))
}

async function all() {
  await test('web_collections__an_empty_list_says_what_to_type', async () => {
    const w = await open('/vectors')
    await w.page.getByText('No collection yet').waitFor()
    await w.close()
  })

  run('collections', 'create', 'faq', '--model', 'all-minilm-l6-v2')
  const file = join(dir, 'faq.jsonl')
  writeFileSync(file, ['How do I cancel my subscription?', 'Where can I see my invoices?', 'When will I get my money back?',
    'Is there a student discount?'].map((text, id) => JSON.stringify({ id, text, payload: { lang: 'en' } })).join('\n'))
  run('collections', 'import', 'faq', file)
  await api('PUT', '/collections/points', { vectors: { size: 2, distance: 'Cosine' } })
  await api('PUT', '/collections/points/points', { points: [...Array(120).keys()].map((i) =>
    ({ id: i, vector: [Math.cos(i / 50), Math.sin(i / 50)], payload: { n: i, note: '<b>not bold</b>' } })) })

  await test('web_collections__list', async () => {
    const w = await open('/vectors')
    await w.page.locator('.collections-table tbody tr').nth(1).waitFor()
    equal(await w.page.locator('.main-cell a').allInnerTexts().then((t) => t.join()), 'faq,points', 'by name')
    await w.shot('collections')
    await w.page.getByRole('link', { name: 'faq' }).click()
    await w.page.locator('h1', { hasText: 'faq' }).waitFor()
    await w.close()
  })

  await test('web_collections__an_alias_is_made_and_moved', async () => {
    const w = await open('/vectors'), stands = (to) => settles(async () =>
      (await api('GET', '/api/v1/collection-aliases')).aliases.map((x) => `${x.name} ${x.collection}`).join(), to, 'what the alias stands for')
    await w.page.getByLabel('Alias', { exact: true }).fill('live')
    await w.page.getByLabel('Stands for').selectOption('points')
    await w.page.getByRole('button', { name: 'Add alias' }).click()
    await stands('live points')
    await w.page.getByLabel('What live stands for').selectOption('faq')
    await w.page.getByText('Move live to faq?').waitFor()
    await w.page.getByRole('button', { name: 'Move', exact: true }).click()
    await stands('live faq')
    await w.page.locator('.collections-table tr', { hasText: 'faq' }).getByText('live').waitFor()
    await w.shot('aliases')
    await w.page.getByRole('link', { name: 'live' }).click()
    await w.page.locator('h1', { hasText: 'faq' }).waitFor()
    await w.page.goBack()
    await w.page.getByLabel('Delete the alias live').click()
    await w.page.getByRole('button', { name: 'Delete', exact: true }).click()
    await stands('')
    await w.close()
  })

  await test('web_collections__both_say_what_either_added', async () => {
    run('collections', 'words', 'faq', '--fields', 'text', '--language', 'en')
    const w = await open('/vectors/faq')
    await w.page.getByText('of text, stems: en').waitFor()
    await w.page.fill('input[type=search]', 'cancelling invoices')
    await w.page.keyboard.press('Enter')
    await w.page.locator('.items-table tbody tr').first().waitFor()
    await w.page.getByText('Both', { exact: true }).click()
    await w.page.locator('th', { hasText: 'Meaning' }).waitFor()
    await w.page.locator('td[data-name=Words]', { hasText: '#1' }).waitFor()
    await w.page.locator('td[data-name=Meaning]', { hasText: '#1' }).waitFor()
    expect(w.page.url().includes('mode=hybrid'), 'the mode is in the address')
    await w.shot('collection-hybrid')
    await w.page.locator('[aria-label="Look for"]').getByText('Words').click()
    await becomes(async () => (await w.page.locator('.items-table tbody tr').count()) === 2, 'only items with one of the words')
    await w.close()
    run('collections', 'words', 'faq', '--off')
  })

  await test('web_collections__words_find_a_text', async () => {
    const w = await open('/vectors/faq')
    await w.page.fill('input[type=search]', 'stop paying')
    await w.page.keyboard.press('Enter')
    const first = w.page.locator('.items-table tbody tr').first()
    await first.locator('p', { hasText: 'cancel my subscription' }).waitFor()
    await w.shot('collection-search')
    expect(w.page.url().includes('q=stop'), 'the question is in the address')
    await w.page.getByRole('button', { name: 'All items' }).click()
    await becomes(async () => (await w.page.locator('.items-table tbody tr').count()) === 4, 'all items')
    await w.close()
  })

  await test('web_collections__what_is_near_to_an_item', async () => {
    const w = await open('/vectors/points')
    await w.page.locator('.items-table tbody tr').nth(49).waitFor()
    await w.page.getByRole('button', { name: 'Show more' }).click()
    await w.page.locator('.items-table tbody tr').nth(99).waitFor()
    equal(await w.page.locator('.items-table b').count(), 0, 'a payload is text')
    await w.page.getByRole('button', { name: 'What is near to 60', exact: true }).click()
    await w.page.locator('.items-table td[data-name=Score]').first().waitFor()
    const ids = await w.page.locator('.items-table td[data-name=Id]').allInnerTexts()
    equal(ids.slice(0, 2).sort().join(), '59,61', 'its neighbours')
    await w.close()
  })

  await test('web_collections__a_narrow_screen', async () => {
    const w = await open('/vectors/points', { width: 380 })
    await w.page.locator('.items-table tbody tr').first().waitFor()
    equal(await overflow(w.page), 0, 'nothing sticks out')
    await w.shot('collection-narrow')
    await w.close()
  })

  await test('web_collections__one_is_deleted', async () => {
    const w = await open('/vectors/points')
    await w.page.getByRole('button', { name: 'Delete' }).click()
    await w.page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await becomes(async () => (await w.page.locator('.main-cell a').allInnerTexts()).join() === 'faq', 'it is gone')
    await w.close()
  })
}

await main(setUp, all)
