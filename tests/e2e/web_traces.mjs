// Traces on the page, in headless Chromium: the live list, a trace of 10,000 spans, messages, folding
// by keyboard, feedback; in the dark and at 380 px. Needs no models.
import { becomes, equal, expect, main, open, overflow, settles, startServer, test, use } from './browser.mjs'

let server
const T = (i) => i.toString(16).padStart(32, '0'), S = (i) => i.toString(16).padStart(16, '0')
const start = BigInt(Date.now() - 60_000) * 1_000_000n
const value = (v) => typeof v === 'number' ? { intValue: v } : { stringValue: v }
const span = (trace, id, parent, name, at, ms, attrs = {}, status) => ({
  traceId: T(trace), spanId: S(id), ...(parent ? { parentSpanId: S(parent) } : {}), name,
  startTimeUnixNano: String(start + BigInt(at) * 1_000_000n), endTimeUnixNano: String(start + BigInt(at + ms) * 1_000_000n),
  attributes: Object.entries(attrs).map(([key, v]) => ({ key, value: value(v) })), ...(status ? { status: { code: 2, message: status } } : {}) })
const send = async (...spans) => {
  const r = await fetch(server.base + '/v1/traces', { method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }) })
  if (!r.ok) throw new Error(await r.text())
}

const log = (trace, id, severity, body, attrs = {}, eventName) => ({ traceId: T(trace), spanId: S(id),
  timeUnixNano: String(start + BigInt(severity) * 1_000_000n), severityNumber: severity, ...(eventName ? { eventName } : {}),
  body: { stringValue: body }, attributes: Object.entries(attrs).map(([key, v]) => ({ key, value: value(v) })) })
const sendLogs = async (...logRecords) => {
  const r = await fetch(server.base + '/v1/logs', { method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] }) })
  if (!r.ok) throw new Error(await r.text())
}

async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
  await send(span(1, 1, 0, 'answer', 0, 900, { 'input.value': 'Where is Graz?' }),
    span(1, 2, 1, 'chat m-1', 10, 500, { 'gen_ai.operation.name': 'chat', 'gen_ai.request.model': 'm-1',
      'gen_ai.usage.input_tokens': 12, 'gen_ai.usage.output_tokens': 7,
      'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [{ type: 'text', content: '<b>Where</b> is Graz?' }] }]),
      'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content: 'In Styria.' }] }]) }),
    span(1, 3, 1, 'find', 520, 90, { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'find',
      'gen_ai.tool.call.arguments': '{"q":"Graz"}' }, 'no such town'))
  await send(span(2, 1, 0, 'big', 0, 60_000), ...Array.from({ length: 9999 }, (_, i) =>
    span(2, i + 2, i < 20 ? 1 : 2 + (i % 17), `step ${i}`, i * 5, 40 + (i % 50) * 20)))
}

async function all() {
  await test('web_traces__live_search_and_filter', async () => {
    const w = await open('/runs', { expected: ['400'] })
    await w.page.locator('.runs-table tr', { hasText: 'answer' }).waitFor()
    await w.page.waitForTimeout(300) // the live stream is open
    await send(span(3, 1, 0, 'just now', 0, 5))
    await w.page.locator('.runs-table tr', { hasText: 'just now' }).waitFor()
    await w.page.getByLabel('Search').fill('styria')
    await w.page.locator('.runs-table tr', { hasText: 'big' }).waitFor({ state: 'detached' })
    await settles(() => w.page.locator('.runs-table tbody tr').count(), 1, 'traces with a word from deep within')
    await w.page.getByLabel('Search').fill('')
    await w.page.getByLabel('Filter').fill('nonsense')
    await w.page.locator('.note.error').waitFor() // the refused filter is a 400
    await w.page.getByLabel('Filter').fill("span.type = 'tool'")
    await w.page.locator('.runs-table tr', { hasText: 'just now' }).waitFor({ state: 'detached' })
    await w.shot('traces-filtered')
    await w.close()
  })

  await test('web_traces__the_tree_by_mouse_and_keyboard', async () => {
    const w = await open(`/runs/${T(1)}`)
    await w.page.locator('.span').first().waitFor()
    equal((await w.page.locator('.span .span-name').evaluateAll((l) => l.map((e) => e.innerText.replace(/\s+/g, ' ').trim()))).join(),
      'answer span,chat m-1 llm,find tool failed', 'the tree')
    await w.page.locator('.span', { hasText: 'chat m-1' }).click()
    await w.page.locator('.message.assistant', { hasText: 'In Styria.' }).waitFor()
    await settles(() => w.page.locator('.message.user .words').innerText(), '<b>Where</b> is Graz?', 'messages are text, not markup')
    await w.page.locator('.span-box').focus()
    await w.page.keyboard.press('ArrowDown')
    await w.page.locator('.detail h2', { hasText: 'find' }).waitFor()
    await becomes(async () => await w.page.locator('.note.error', { hasText: 'no such town' }).isVisible(), 'the error of the next one')
    await w.shot('trace')
    await w.page.keyboard.press('Home')
    await w.page.keyboard.press('ArrowLeft')
    await settles(() => w.page.locator('.span').count(), 1, 'spans when folded')
    await w.page.keyboard.press('ArrowRight')
    await w.page.locator('.span', { hasText: 'find' }).waitFor()
    await w.close()
  })

  await test('web_traces__logs_of_a_run_and_of_a_span', async () => {
    await sendLogs(log(1, 3, 13, 'the <i>map</i> is old', { sheet: 12 }), log(1, 3, 17, 'no such town'), log(1, 2, 9, 'asked'),
      log(1, 2, 5, 'warm', {}, 'cache.hit'))
    const w = await open(`/runs/${T(1)}`)
    await w.page.locator('.logs .log').nth(3).waitFor()
    await w.page.getByLabel('Level').selectOption('warn')
    await w.page.locator('.log', { hasText: 'asked' }).waitFor({ state: 'detached' })
    await settles(() => w.page.locator('.logs .log').count(), 2, 'warnings and errors')
    await w.page.getByLabel('Search logs').fill('MAP')
    await w.page.locator('.log', { hasText: 'no such town' }).waitFor({ state: 'detached' })
    await w.page.locator('.log summary').click()
    await settles(() => w.page.locator('.log .words').innerText(), 'the <i>map</i> is old', 'records are text, not markup')
    await becomes(async () => await w.page.locator('.log code', { hasText: '12' }).isVisible(), 'what a record holds')
    await w.shot('logs')
    await w.page.locator('.log .link').click()
    await w.page.locator('.detail h2', { hasText: 'find' }).waitFor()
    await settles(() => w.page.locator('.logs .log').count(), 2, 'at its span')
    await w.close()
  })

  await test('web_traces__feedback_is_given_and_taken_back', async () => {
    const w = await open(`/runs/${T(1)}`)
    await w.page.locator('.span', { hasText: 'find' }).click()
    await w.page.locator('.feedback-form input').nth(2).fill('It exists.')
    await w.page.locator('.feedback-form button', { hasText: 'No' }).click()
    await w.page.locator('.feedback li', { hasText: 'It exists.' }).waitFor()
    await w.page.locator('.feedback .link').click()
    await w.page.locator('.feedback li').waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_traces__ten_thousand_spans_in_the_dark', async () => {
    const w = await open(`/runs/${T(2)}`, { dark: true })
    await w.page.locator('.span').first().waitFor()
    expect(await w.page.locator('.span').count() < 60, 'only those in view are drawn')
    await w.page.locator('.span-box').evaluate(async (box) => {
      for (let i = 1; i <= 20; i++) {
        box.scrollTop = (box.scrollHeight * i) / 20
        await new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))
      }
    })
    await w.page.waitForFunction(() => [...document.querySelectorAll('.span')].some((e) => e.style.top === '279972px'))
    await w.page.getByLabel('Find a span').fill('step 4321')
    await w.page.locator('.span', { hasText: 'step 4321' }).waitFor()
    await settles(() => w.page.locator('.span').count(), 1, 'spans found')
    await w.shot('trace-dark')
    await w.close()
  })

  await test('web_traces__fits_380_pixels', async () => {
    const w = await open(`/runs/${T(1)}?span=${S(2)}`, { width: 380 })
    await w.page.locator('.message.assistant').waitFor()
    equal(await overflow(w.page), 0, 'pixels beyond the right edge of a trace')
    await w.page.goto(`${server.base}/runs`)
    await w.page.locator('.runs-table tr', { hasText: 'answer' }).waitFor()
    equal(await overflow(w.page), 0, 'pixels beyond the right edge of the list')
    await w.shot('traces-narrow')
    await w.close()
  })
}

await main(setUp, all)
