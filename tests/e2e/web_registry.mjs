// The registry's pages in headless Chromium: what is there, an artifact's versions, moving an alias
// past and not past the promotion rules, looking back, lineage by mouse and by keyboard, two versions
// beside each other; at 1280 px, in the dark and at 380 px.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { becomes, dir, equal, expect, main, open, overflow,
  run, settles, startServer, test, use } from './browser.mjs'

let server
const api = async (method, path, body) => {
  const r = await fetch(`${server.base}/api/v1${path}`, { method, body: body && JSON.stringify(body),
    headers: { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}
const versions = (path) => `/artifacts/${path}/versions`
const WORDING = 'You sort support tickets.\nAnswer with one word.\n\nTicket: {{ticket}}\n'

async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
}

const text = (w, selector) => w.page.locator(selector).innerText()

async function all() {
  await test('web_registry__an_empty_one_says_what_to_type', async () => {
    const w = await open('/registry')
    await w.page.getByText('No artifacts yet').waitFor()
    await becomes(async () => (await text(w, '.empty')).includes('croft artifact add'), 'the first command')
    await w.close()
  })

  // the command that the page told works
  run('artifact', 'add', 'dataset/faq', '--source', 's3://bucket/faq-1.jsonl')
  run('artifact', 'add', 'dataset/faq', '--source', 's3://bucket/faq-2.jsonl')
  await api('POST', versions('dataset/clean'), { source: 's3://bucket/clean', inputs: ['dataset/faq:2'] })
  for (let i = 1; i <= 4; i++)
    await api('POST', versions('model/router'), { source: `s3://bucket/router-${i}`, description: `rank ${4 * i}`,
      inputs: ['dataset/clean:1'], metadata: { rank: 4 * i, epochs: 3 } })
  await api('POST', versions('flow/support'), { source: 'git://flow', inputs: ['model/router:2'] })
  await api('POST', versions('prompt/triage'), { source: 'a', metadata: { template: WORDING } })
  await api('POST', versions('prompt/triage'), { source: 'b', metadata: { template: WORDING.replace('support tickets', 'letters') + 'Never guess.\n' } })
  run('artifact', 'alias', 'model/router:1', 'prod', '--reason', 'first release')
  await new Promise((r) => setTimeout(r, 1100)) // as-of has seconds
  const between = new Date().toISOString()
  await new Promise((r) => setTimeout(r, 1100))
  run('artifact', 'alias', 'model/router:2', 'prod', '--reason', 'passed the suite')

  await test('web_registry__list_by_kind_and_name', async () => {
    const w = await open('/registry')
    await w.page.locator('.registry-table tbody tr').nth(4).waitFor()
    await w.shot('registry')
    await w.page.selectOption('select', 'dataset')
    await w.page.locator('.registry-table tbody tr').nth(2).waitFor({ state: 'detached' })
    await settles(async () => await w.page.locator('.main-cell a').allInnerTexts().then((t) => t.join()), 'clean,faq', 'the datasets')
    await w.page.fill('input[type=search]', 'FA')
    await w.page.locator('.registry-table tbody tr').nth(1).waitFor({ state: 'detached' })
    expect(w.page.url().includes('kind=dataset') && w.page.url().includes('name=FA'), 'the choice is in the address')
    await w.page.locator('.main-cell a').click()
    await w.page.locator('h1', { hasText: 'faq' }).waitFor()
    await w.close()
  })

  await test('web_registry__tags_and_descriptions_are_edited_in_place', async () => {
    const w = await open('/registry/model/router?v=3')
    await w.page.getByRole('heading', { name: 'Version 3' }).waitFor()
    await w.page.getByRole('button', { name: 'Add a tag' }).click()
    await w.page.fill('[aria-label=Tag]', 'f1')
    await w.page.fill('[aria-label=Value]', '0.91')
    await w.page.keyboard.press('Enter')
    await w.page.locator('.chip', { hasText: 'f1: 0.91' }).waitFor()
    await w.page.getByRole('button', { name: 'Edit' }).click()
    await w.page.fill('textarea', 'with <b>new</b> labels')
    await w.page.getByRole('button', { name: 'Save' }).click()
    await w.page.locator('.detail .lead', { hasText: 'with <b>new</b> labels' }).waitFor()
    await w.page.getByRole('button', { name: 'Remove the tag f1' }).click()
    await w.page.locator('.chip').waitFor({ state: 'detached' })
    const v = await api('GET', `${versions('model/router')}/3`)
    equal(v.description, 'with <b>new</b> labels', 'kept')
    await w.close()
  })

  await test('web_registry__promotion_says_what_is_missing_and_glass_breaks_loudly', async () => {
    run('promote', 'rule', 'prod', '--kind', 'model', '--checks', 'suite', '--approvals', '1')
    const w = await open('/registry/model/router?v=4')
    await w.page.locator('.requirements .missing').nth(1).waitFor()
    await w.page.getByRole('button', { name: 'Move an alias' }).click()
    const dialog = w.page.locator('dialog[open]')
    await dialog.locator('.requirements .missing').nth(1).waitFor()
    const go = dialog.locator('.button.main')
    expect(await go.isDisabled(), 'no way past the rules without breaking the glass')
    await dialog.getByLabel('Break the glass').check()
    const smash = dialog.getByRole('button', { name: /^Break the glass: prod to version 4/ })
    await smash.click()
    await dialog.locator('.note.error', { hasText: 'Say why' }).waitFor()
    equal((await api('GET', '/artifacts/model/router')).aliases[0].version, 2, 'prod, still')
    await dialog.getByLabel('Why').fill('prod is down')
    await w.shot('break-glass')
    await smash.click()
    await dialog.waitFor({ state: 'detached' })
    const note = w.page.locator('.note.error', { hasText: 'The glass was broken for prod' })
    await note.waitFor()
    await becomes(async () => (await note.innerText()).includes('prod is down'), 'the reason stands on the page')
    // with the check passed and the rule gone, the same move needs no glass
    for (const r of (await api('GET', '/promotion/rules')).rules) await api('DELETE', `/promotion/rules/${r.id}`)
    await w.page.getByRole('button', { name: 'Move an alias' }).click()
    await dialog.getByLabel('Version').selectOption('2')
    await dialog.getByRole('button', { name: 'Move to version 2' }).click()
    await dialog.waitFor({ state: 'detached' })
    await note.waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_registry__looking_back_shows_what_held', async () => {
    const w = await open(`/registry/model/router?as_of=${encodeURIComponent(between)}`)
    const prod = w.page.locator('.versions-table tr', { hasText: 'prod' })
    await prod.waitFor()
    await becomes(async () => (await prod.innerText()).includes('rank 4'), 'version 1 was prod then')
    equal(await w.page.getByRole('button', { name: 'Move an alias' }).count(), 0, 'buttons that change the past')
    await w.page.getByRole('button', { name: 'Now' }).click()
    await w.page.locator('.versions-table tr', { hasText: 'prod' }).filter({ hasText: 'rank 8' }).waitFor()
    // the time line: one stretch for each move, the broken one marked; Enter on one looks there
    await w.page.getByText('History').click()
    await w.page.locator('.stretch').nth(3).waitFor()
    await settles(() => w.page.locator('.stretch.broken').count(), 1, 'moves with broken glass')
    await w.shot('history')
    await w.page.locator('.stretch').first().focus()
    await w.page.keyboard.press('Enter')
    await w.page.locator('.as-of.past').waitFor()
    await becomes(async () => (await text(w, '.lane-name')).includes('version 1'), 'prod pointed at version 1')
    await w.close()
  })

  await test('web_registry__taking_back_keeps_the_history', async () => {
    const w = await open('/registry/model/router?view=history')
    const first = w.page.locator('.facts-list li', { hasText: 'passed the suite' })
    await first.getByRole('button', { name: 'Take back' }).click()
    await w.page.locator('dialog[open] input').fill('wrong model')
    await w.page.locator('dialog[open]').getByRole('button', { name: 'Take back' }).click()
    await w.page.locator('.facts-list li.taken', { hasText: 'passed the suite' }).waitFor()
    await w.page.locator('.stretch').nth(3).waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_registry__lineage_by_keyboard', async () => {
    const w = await open('/registry/model/router?view=lineage&v=2', { dark: true })
    await w.page.locator('.graph-node').nth(3).waitFor()
    await w.shot('lineage-dark')
    await w.page.locator('.graph-node.on').focus()
    const at = () => w.page.evaluate(() => document.activeElement.innerText.replace(/\s+/g, ' ').replace(' :', ':'))
    await w.page.keyboard.press('ArrowLeft')
    await settles(() => at(), 'clean:1 dataset', 'one to the left')
    await w.page.keyboard.press('ArrowLeft')
    await settles(() => at(), 'faq:2 dataset', 'and another')
    for (let i = 0; i < 3; i++) await w.page.keyboard.press('ArrowRight')
    await settles(() => at(), 'support:1 flow', 'what depends on it')
    await settles(() => w.page.locator('.graph-node[tabindex="0"]').count(), 1, 'stops of the Tab key')
    await w.page.keyboard.press('Enter')
    await w.page.locator('h1', { hasText: 'support' }).waitFor()
    await w.page.getByText('Leads to').click()
    await w.page.getByText('No lineage').waitFor()
    await w.close()
  })

  await test('web_registry__lineage_a_little_too_wide_is_drawn_smaller', async () => {
    const w = await open('/registry/model/router?view=lineage&v=2', { width: 940 })
    await w.page.locator('.graph-node').nth(3).waitFor()
    await w.page.waitForTimeout(300)
    const [beyond, first, top] = await w.page.locator('.graph').evaluate((e) => [e.scrollWidth - e.clientWidth,
      Math.round(e.querySelector('.graph-node').getBoundingClientRect().width),
      Math.min(...[...e.querySelectorAll('.graph-node')].map((n) => n.getBoundingClientRect().top)) - e.getBoundingClientRect().top])
    equal(beyond, 0, 'pixels beyond the frame')
    expect(first < 150 && first >= 105, `smaller, and readable: ${first}`)
    expect(top < 30, `it begins at the top: ${top}`)
    await w.shot('lineage-scaled')
    await w.close()
  })

  await test('web_registry__a_card_tells_measured_from_claimed_from_missing', async () => {
    await api('PUT', `${versions('model/router')}/2/card/limitations`, { value: 'short tickets <only>' })
    await api('POST', `${versions('model/router')}/2/checks`, { name: 'safety-words', verdict: 'pass' })
    const w = await open('/registry/model/router?view=card&v=2')
    const row = (title) => w.page.locator('.card-table tr', { has: w.page.locator('th', { hasText: title }) })
    await row('Training data').locator('.badge.good').waitFor()
    await becomes(async () => (await row('Training data').innerText()).includes('dataset/clean:1'), 'the data is measured from lineage')
    await becomes(async () => (await row('Safety checks').innerText()).includes('safety-words: pass'), 'so are checks')
    await becomes(async () => (await row('Known limitations').innerText()).includes('short tickets <only>'), 'a claim is text')
    await becomes(async () => (await row('Known limitations').innerText()).includes('local'), 'of somebody')
    await becomes(async () => (await row('Consent').innerText()).includes('missing'), 'what nobody said is missing')
    const before = await text(w, '.card-sums li:nth-child(4)')
    await w.page.getByRole('button', { name: 'Write Consent' }).click()
    await w.page.fill('.card-table textarea', 'asked at sign-up')
    await w.page.getByRole('button', { name: 'Save' }).click()
    await row('Consent').locator('.badge.warn').waitFor()
    await becomes(async () => (await text(w, '.card-sums li:nth-child(4)')) !== before, 'the section is fuller')
    await w.shot('card')
    await w.close()
    const dark = await open('/registry/model/router?view=card&v=2', { dark: true })
    await dark.page.locator('.card-table').first().waitFor()
    await dark.shot('card-dark')
    await dark.close()
  })

  await test('web_registry__two_versions_side_by_side', async () => {
    const w = await open('/registry/prompt/triage?view=compare')
    await w.page.locator('.diff-row.added').waitFor()
    await settles(async () => await w.page.locator('.diff .left b').allInnerTexts().then((t) => t.join(' ')), 'support tickets', 'words that went')
    await settles(async () => await w.page.locator('.diff .right b').allInnerTexts().then((t) => t.join(' ')), 'letters', 'words that came')
    await w.page.getByRole('button', { name: 'Swap' }).click()
    await w.page.locator('.diff-row.removed', { hasText: 'Never guess' }).waitFor()
    await w.shot('compare')
    await w.close()
  })

  await test('web_registry__files_and_what_changed_in_them', async () => {
    const folder = join(dir, 'suite')
    mkdirSync(folder)
    writeFileSync(join(folder, 'cases.jsonl'), '{"q": "one"}\n{"q": "two"}\n')
    writeFileSync(join(folder, 'prices.csv'), 'id,price\n1,10\n2,20\n3,30\n')
    writeFileSync(join(folder, 'gone.txt'), 'old')
    run('artifact', 'push', folder, 'suite/regression')
    writeFileSync(join(folder, 'cases.jsonl'), '{"q": "one"}\n{"q": "three"}\n')
    writeFileSync(join(folder, 'prices.csv'), 'id,price\n1,10\n2,25\n4,40\n')
    rmSync(join(folder, 'gone.txt'))
    writeFileSync(join(folder, 'weights.bin'), Buffer.from([255, 254, 0, 1]))
    run('artifact', 'push', folder, 'suite/regression')
    const w = await open('/registry/suite/regression')
    const saving = w.page.waitForEvent('download')
    await w.page.getByRole('button', { name: 'Download cases.jsonl' }).click()
    equal(readFileSync(await (await saving).path(), 'utf8'), '{"q": "one"}\n{"q": "three"}\n', 'the file')
    await w.page.getByText('Compare').click()
    await w.page.locator('.changes .added', { hasText: 'weights.bin' }).waitFor()
    await w.page.locator('.changes .removed', { hasText: 'gone.txt' }).waitFor()
    const of = (path) => w.page.locator('.changes .changed', { hasText: path })
    await of('cases.jsonl').getByRole('button', { name: 'Show lines' }).click()
    await w.page.locator('.diff .right b', { hasText: 'three' }).waitFor()
    await of('prices.csv').getByRole('button', { name: 'Show rows' }).click()
    const rows = w.page.getByRole('region', { name: 'Rows of prices.csv' })
    await rows.getByText('by id').waitFor()
    equal(await rows.locator('.row-list li').allInnerTexts().then((t) => t.map((x) => x.replace(/\s+/g, ' ')).join()),
      '≠ 2,+ 4,− 3', 'the rows that changed, came and went')
    await settles(async () => (await rows.locator('tr', { hasText: 'price' }).innerText()).split(/\s*\t\s*/).join('|'), 'price|number|3|20 → 25|+0.50|1', 'how the column moved')
    await w.shot('files')
    await w.close()
  })

  await test('web_registry__fits_380_pixels', async () => {
    const w = await open('/registry', { width: 380, height: 760, touch: true })
    for (const path of ['/registry', '/registry/model/router', '/registry/model/router?view=history',
      '/registry/model/router?view=lineage&v=2', '/registry/model/router?view=card&v=2', '/registry/prompt/triage?view=compare']) {
      await w.page.goto(server.base + path)
      await w.page.waitForSelector('main h1')
      await w.page.waitForTimeout(400)
      equal(await overflow(w.page), 0, `pixels beyond the right edge of ${path}`)
      await w.shot('narrow')
    }
    await w.close()
  })
}

await main(setUp, all)
