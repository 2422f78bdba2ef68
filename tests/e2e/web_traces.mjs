// Traces on the page, in headless Chromium: the live list, a trace of 10,000 spans, messages, folding
// by keyboard, feedback; in the dark and at 380 px. Needs no models.
import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = process.env.CROFT_SOURCE_ROOT ?? join(import.meta.dirname ?? '.', '..', '..')
const require = createRequire(join(root, 'web', 'package.json'))
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const base = process.env.CROFT_BASE
const shots = process.env.CROFT_WEB_SHOTS

let n = 0, failed = 0
const ok = (good, name, note) => {
  console.log(`${good ? 'ok' : 'not ok'} ${++n} - ${name}`)
  if (!good) { failed++; console.log(`# ${note}`) }
}
const same = (got, want, name) => ok(JSON.stringify(got) === JSON.stringify(want), name, `${JSON.stringify(got)} is not ${JSON.stringify(want)}`)

const T = (i) => i.toString(16).padStart(32, '0'), S = (i) => i.toString(16).padStart(16, '0')
const start = BigInt(Date.now() - 60_000) * 1_000_000n
const value = (v) => typeof v === 'number' ? { intValue: v } : { stringValue: v }
const span = (trace, id, parent, name, at, ms, attrs = {}, status) => ({
  traceId: T(trace), spanId: S(id), ...(parent ? { parentSpanId: S(parent) } : {}), name,
  startTimeUnixNano: String(start + BigInt(at) * 1_000_000n), endTimeUnixNano: String(start + BigInt(at + ms) * 1_000_000n),
  attributes: Object.entries(attrs).map(([key, v]) => ({ key, value: value(v) })), ...(status ? { status: { code: 2, message: status } } : {}) })
const send = async (...spans) => {
  const r = await fetch(base + '/v1/traces', { method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }) })
  if (!r.ok) throw new Error(await r.text())
}

await send(span(1, 1, 0, 'answer', 0, 900, { 'input.value': 'Where is Graz?' }),
  span(1, 2, 1, 'chat m-1', 10, 500, { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'm-1',
    'gen_ai.usage.input_tokens': 12, 'gen_ai.usage.output_tokens': 7,
    'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: '<b>Where</b> is Graz?' }] }]),
    'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: 'In Styria.' }] }]) }),
  span(1, 3, 1, 'find', 520, 90, { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'find',
    'gen_ai.tool.call.arguments': '{"q":"Graz"}' }, 'no such town'))
await send(span(2, 1, 0, 'big', 0, 60_000), ...Array.from({ length: 9999 }, (_, i) =>
  span(2, i + 2, i < 20 ? 1 : 2 + (i % 17), `step ${i}`, i * 5, 40 + (i % 50) * 20)))

const browser = await require('playwright-core').chromium.launch({ executablePath: chromium, args: ['--no-sandbox',
  '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking'] })
async function open(path, { width = 1280, dark = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce' })
  const page = await context.newPage()
  const wrong = []
  page.on('console', (m) => m.type() === 'error' && wrong.push(m.text()))
  page.on('pageerror', (e) => wrong.push(e.message))
  page.setDefaultTimeout(15_000)
  await page.goto(base + path)
  return { page, wrong, close: async (name) => {
    if (shots) await page.screenshot({ path: join(shots, `traces-${name}.png`), fullPage: true })
    same(wrong, [], `${name}: nothing goes wrong in the browser`)
    await context.close()
  } }
}
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)

try {
  let w = await open('/runs')
  await w.page.locator('.runs-table tr', { hasText: 'answer' }).waitFor()
  await w.page.waitForTimeout(300) // the live stream is open
  const t = Date.now()
  await send(span(3, 1, 0, 'just now', 0, 5))
  await w.page.locator('.runs-table tr', { hasText: 'just now' }).waitFor()
  ok(Date.now() - t < 2500, `a new trace shows within ${Date.now() - t} ms`, 'too late')
  await w.page.getByLabel('Search').fill('styria')
  await w.page.locator('.runs-table tr', { hasText: 'big' }).waitFor({ state: 'detached' })
  same(await w.page.locator('.runs-table tbody tr').count(), 1, 'words from deep within find it')
  await w.page.getByLabel('Search').fill('')
  await w.page.getByLabel('Filter').fill('nonsense')
  await w.page.locator('.note.error').waitFor()
  w.wrong.length = 0 // the refused filter is a 400
  await w.page.getByLabel('Filter').fill("span.type = 'tool'")
  await w.page.locator('.runs-table tr', { hasText: 'just now' }).waitFor({ state: 'detached' })
  await w.page.locator('.runs-table a', { hasText: 'answer' }).click()
  await w.page.locator('.span').first().waitFor()
  w.wrong.length = 0
  same(await w.page.locator('.span .span-name').evaluateAll((l) => l.map((e) => e.innerText.replace(/\s+/g, ' ').trim())),
    ['answer span', 'chat m-1 llm', 'find tool failed'], 'the tree')
  await w.page.locator('.span', { hasText: 'chat m-1' }).click()
  await w.page.locator('.message.assistant', { hasText: 'In Styria.' }).waitFor()
  same(await w.page.locator('.message.user .words').innerText(), '<b>Where</b> is Graz?', 'messages are text, not markup')
  await w.page.locator('.span-box').focus()
  await w.page.keyboard.press('ArrowDown')
  await w.page.locator('.detail h2', { hasText: 'find' }).waitFor()
  ok(await w.page.locator('.note.error', { hasText: 'no such town' }).isVisible(), 'the next by arrow key, with its error')
  await w.page.keyboard.press('Home')
  await w.page.keyboard.press('ArrowLeft')
  same(await w.page.locator('.span').count(), 1, 'folded')
  await w.page.keyboard.press('ArrowRight')
  await w.page.locator('.span', { hasText: 'find' }).click()
  await w.page.locator('.feedback-form input').nth(2).fill('It exists.')
  await w.page.locator('.feedback-form button', { hasText: 'No' }).click()
  await w.page.locator('.feedback li', { hasText: 'It exists.' }).waitFor()
  ok(true, 'feedback is given')
  await w.page.locator('.feedback .link').click()
  await w.page.locator('.feedback li').waitFor({ state: 'detached' })
  ok(true, 'and taken back')
  await w.close('wide')

  w = await open(`/runs/${T(2)}`, { dark: true })
  await w.page.locator('.span').first().waitFor()
  ok(await w.page.locator('.span').count() < 60, '10,000 spans: only those in view are drawn', await w.page.locator('.span').count())
  const took = await w.page.locator('.span-box').evaluate(async (box) => {
    const from = performance.now()
    for (let i = 1; i <= 20; i++) {
      box.scrollTop = (box.scrollHeight * i) / 20
      await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))
    }
    return performance.now() - from
  })
  await w.page.waitForFunction(() => [...document.querySelectorAll('.span')].some((e) => e.style.top === '279972px'))
  ok(took < 4000, `scrolled through in ${Math.round(took)} ms`, took)
  await w.page.getByLabel('Find a span').fill('step 4321')
  await w.page.locator('.span', { hasText: 'step 4321' }).waitFor()
  same(await w.page.locator('.span').count(), 1, 'one is found')
  await w.close('dark')

  w = await open(`/runs/${T(1)}?span=${S(2)}`, { width: 380 })
  await w.page.locator('.message.assistant').waitFor()
  same(await overflow(w.page), 0, 'no sideways scrolling at 380 px')
  await w.page.goto(base + '/runs')
  await w.page.locator('.runs-table tr', { hasText: 'answer' }).waitFor()
  same(await overflow(w.page), 0, 'nor of the list')
  await w.close('narrow')
} catch (e) {
  ok(false, 'to the end', String(e?.stack ?? e).split('\n').slice(0, 6).join('\n# '))
}
await browser.close()
console.log(`1..${n}`)
process.exit(failed ? 1 : 0)
