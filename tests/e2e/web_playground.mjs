// The playground in headless Chromium against the real server and a real model: streams, stops, goes
// on with a conversation, compares sides, shows how likely each token was, holds answers to a schema,
// gives itself as code that runs, stays through a reload; in the dark, at 380 px. And the models page,
// live. Any error on the console, any breach of the content policy and any failed request that a step
// did not expect fails the test.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { becomes, build, dir, env, equal, expect, main, open, overflow, run, settles, skipAll, startServer, test, use } from './browser.mjs'

const models = process.env.CROFT_TEST_MODELS ?? join(build, 'models')
const gguf = join(models, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf')
if (!existsSync(gguf)) skipAll('the models are not there: make models')

let server
const setUp = async () => {
  for (const [path, name] of [[gguf, 'smollm2-135m-instruct'], [gguf, 'twin'], [join(models, 'minilm'), 'all-minilm-l6-v2']])
    run('pull', path, '--name', name)
  server = use(await startServer())
}

const button = (at, name) => at.getByRole('button', { name, exact: true })
const prompt = (page) => page.getByRole('textbox', { name: 'Prompt', exact: true })
const sides = (page) => page.locator('.play-side')
const lastAnswer = (at) => at.locator('.play-answer').last()

async function send(page, text) {
  await prompt(page).fill(text)
  await page.keyboard.press('Control+Enter')
}
async function complete(at, want = 'Answer complete') {
  const status = lastAnswer(at).locator(':scope > [role=status]')
  await becomes(async () => ['Answer complete', 'Failed', 'Stopped'].includes(await status.innerText().catch(() => '')), 'an end of the answer')
  equal(await status.innerText(), want, `how it ended (${await lastAnswer(at).innerText()})`)
}
async function settings(side, values) {
  const toggle = side.getByRole('button', { name: /^Settings of/ })
  if (await toggle.getAttribute('aria-expanded') !== 'true') await toggle.click()
  for (const [label, value] of Object.entries(values)) await side.getByLabel(label).fill(value)
}

async function all() {
  await test('web_playground__an_answer_streams_with_its_numbers', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '120' })
    await w.page.getByLabel('System prompt').fill('You are a helpful assistant.')
    await send(w.page, 'Write a paragraph about the capital of France.')
    await complete(w.page)
    await becomes(async () => (await lastAnswer(w.page).locator('.play-text').innerText()).includes('France'), 'France in the answer')
    for (const what of [/\d+ tokens/, /\d tokens\/s/, /first after/, /prompt \d+/])
      await becomes(async () => what.test(await lastAnswer(w.page).locator('.meta').innerText()), `${what} below the answer`)
    await w.shot('playground')
    // the conversation goes on: the model is told what was said
    await send(w.page, 'And of Italy?')
    await settles(() => w.page.locator('.play-turn').count(), 2, 'turns')
    await complete(w.page)
    const read = async (n) => Number(/prompt (\d+)/.exec(await w.page.locator('.play-answer .meta').nth(n).innerText())?.[1])
    await becomes(async () => await read(1) > await read(0) + 12, 'a longer prompt: with the first question and its answer')
    await lastAnswer(w.page).getByRole('link', { name: 'Run' }).click()
    await w.page.getByText('And of Italy?').first().waitFor()
    await w.close()
  })

  await test('web_playground__token_probabilities', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '12' })
    await send(w.page, 'What is the capital of France?')
    await complete(w.page)
    const token = w.page.locator('.play-turn .play-text [data-at]').nth(2)
    const word = (await token.innerText()).trim()
    await token.hover()
    const card = w.page.locator('.token-card')
    await card.waitFor()
    await becomes(async () => (await card.innerText()).includes(word), 'the token that is pointed at')
    await settles(() => card.locator('li').count(), 5, 'alternatives')
    const shares = (await card.locator('li .num').allInnerTexts()).map(parseFloat)
    expect(shares.every((p, i) => p >= 0 && p <= 100 && (!i || p <= shares[i - 1])), `alternatives from likely to unlikely: ${shares}`)
    await w.shot('token')
    // by keyboard
    await w.page.locator('.play-text[tabindex]').focus()
    await w.page.keyboard.press('ArrowRight')
    await becomes(async () => (await w.page.locator('.play-text > .on').getAttribute('data-at').catch(() => null)) !== null, 'a chosen token')
    await w.page.keyboard.press('Escape')
    await card.waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_playground__stop_and_take_back', async () => {
    const w = await open('/playground')
    await send(w.page, 'Count from 1 to 1000, one number in each line.')
    await w.page.locator('.play-text').first().waitFor()
    await button(w.page, 'Stop').click()
    await complete(w.page, 'Stopped')
    await button(w.page, 'Take back').click()
    await settles(() => w.page.locator('.play-turn').count(), 0, 'turns')
    equal(await prompt(w.page).inputValue(), 'Count from 1 to 1000, one number in each line.', 'the prompt')
    await w.close()
  })

  await test('web_playground__sides_compare_models_and_settings', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '16' })
    for (let i = 0; i < 3; i++) await button(w.page, 'Add a side').click()
    await settles(() => sides(w.page).count(), 4, 'sides')
    expect(await button(w.page, 'Add a side').isDisabled(), 'no fifth one')
    await w.page.getByLabel('Model of side 2').selectOption('twin')
    await settings(sides(w.page).nth(2), { Temperature: '2', Seed: '7' })
    await button(w.page, 'Remove side 4').click()
    await settles(() => sides(w.page).count(), 3, 'sides')
    await send(w.page, 'Name a colour.')
    for (let i = 0; i < 3; i++) await complete(sides(w.page).nth(i))
    const texts = await w.page.locator('.play-turn .play-text').allInnerTexts()
    equal(texts[1], texts[0], 'the same model file at temperature 0')
    expect(texts[2] !== texts[0], 'another answer at temperature 2')
    await w.shot('sides')
    await w.close()
  })

  await test('web_playground__holds_to_a_schema_and_stays_through_a_reload', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '60' })
    await w.page.getByLabel('The answer is').selectOption('json_schema')
    await w.page.getByLabel('JSON Schema').fill('{"type": "object", ')
    expect(await button(w.page, 'Send').isDisabled(), 'nothing is sent with half a schema')
    await w.page.getByLabel('JSON Schema').fill(JSON.stringify({ type: 'object', additionalProperties: false,
      properties: { city: { type: 'string', maxLength: 20 }, population: { type: 'integer', minimum: 1, maximum: 99 } },
      required: ['city', 'population'] }))
    await send(w.page, 'A city and how many millions live there.')
    await complete(w.page)
    const answer = JSON.parse(await w.page.locator('.play-turn .play-text').innerText())
    expect(typeof answer.city === 'string' && Number.isInteger(answer.population), `as the schema says: ${JSON.stringify(answer)}`)
    await w.shot('schema')
    await w.page.reload()
    await w.page.waitForSelector('.play-turn .play-text')
    equal(JSON.parse(await w.page.locator('.play-turn .play-text').innerText()).city, answer.city, 'kept')
    equal(await w.page.getByLabel('The answer is').inputValue(), 'json_schema', 'kept')
    await button(w.page, 'Clear').click()
    await settles(() => w.page.locator('.play-turn').count(), 0, 'turns')
    await w.close()
  })

  await test('web_playground__tool_calls_and_their_results', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '80' })
    await w.page.getByText('Tools', { exact: true }).click()
    await w.page.getByLabel('Tools, as OpenAI writes them').fill(JSON.stringify([{ type: 'function', function: { name: 'weather',
      description: 'The weather of a city', parameters: { type: 'object', additionalProperties: false,
        properties: { city: { type: 'string', maxLength: 20 } }, required: ['city'] }, strict: true } }]))
    await w.page.getByLabel('The model calls').selectOption('required')
    await send(w.page, 'What is the weather in Oslo?')
    await complete(w.page)
    const call = w.page.locator('.call').first()
    await call.getByText('weather', { exact: true }).waitFor()
    expect(typeof JSON.parse(await call.locator('pre').innerText()).city === 'string', 'arguments as the schema says')
    await w.page.getByLabel('What it returns').first().fill('{"sky": "clear"}')
    await w.shot('tools')
    await w.page.getByLabel('The model calls').selectOption('none')
    await w.page.getByRole('button', { name: /^Continue with/ }).click()
    await settles(() => w.page.locator('.play-turn').count(), 2, 'turns')
    await complete(w.page)
    await w.close()
  })

  await test('web_playground__as_code_that_runs', async () => {
    const w = await open('/playground')
    await settings(sides(w.page).first(), { Temperature: '0', 'Most tokens': '8', 'Top k': '3' })
    await prompt(w.page).fill("Say 'hello' in \"French\".")
    await button(w.page, 'As code').click()
    const code = w.page.locator('.play-code')
    await becomes(async () => (await code.innerText()).startsWith('curl'), 'a curl command')
    const out = execFileSync('sh', ['-c', await code.innerText()], { env, cwd: dir, encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] })
    expect(out.includes('data: [DONE]'), `a stream to its end: ${out.slice(0, 300)}`)
    await w.page.getByText('Python', { exact: true }).click()
    await becomes(async () => (await code.innerText()).includes('from openai import OpenAI'), 'Python')
    const python = await code.innerText()
    expect(python.includes('extra_body={"top_k": 3}'), `what the client does not know goes as extra_body: ${python}`)
    execFileSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: python })
    await w.shot('code')
    await w.close()
  })

  await test('web_playground__says_what_the_server_refuses', async () => {
    const w = await open('/playground', { expected: ['400', '413'] })
    await settings(sides(w.page).first(), { 'Top p': '7' })
    await send(w.page, 'Hello')
    await complete(w.page, 'Failed')
    await becomes(async () => /top_p/.test(await lastAnswer(w.page).getByRole('alert').innerText()), 'the reason')
    await w.close()
  })

  await test('web_models__are_loaded_and_unloaded_and_shown_at_work', async () => {
    const w = await open('/models', { expected: ['429'] })
    const card = (name) => w.page.locator('.cards > li').filter({ has: w.page.locator('strong', { hasText: new RegExp(`^${name}$`) }) })
    const twin = card('twin')
    await twin.getByRole('button', { name: /^(Load|Unload) twin$/ }).waitFor()
    if (await twin.getByRole('button', { name: 'Unload twin' }).count()) await twin.getByRole('button', { name: 'Unload twin' }).click()
    await becomes(async () => /Would take \d+ MB of memory at most: weights 97 MB, keys and values/.test(await twin.innerText()), 'the plan of a model that is not open')
    await twin.getByRole('button', { name: 'Load twin', exact: true }).click()
    await twin.getByText('loaded', { exact: true }).waitFor()
    await becomes(async () => !/Would take/.test(await twin.innerText()), 'no plan of one that is')
    await becomes(async () => /\d+ MB of memory, .* for keys and values/.test(await twin.locator('.live').innerText()), 'its memory')
    // somebody asks it: the page shows it without a reload, and does not let it go
    const stop = new AbortController()
    const asked = fetch(`${server.base}/v1/chat/completions`, { method: 'POST', signal: stop.signal,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'twin', max_tokens: 3000, logit_bias: { 2: -100 }, messages: [{ role: 'user', content: 'Count.' }] }) })
      .then((r) => r.text(), () => '')
    await becomes(async () => /1 of \d+ running/.test(await twin.locator('.live').innerText()), 'an answer being written')
    await becomes(async () => Number(/([\d,]+) tokens\/s written/.exec(await twin.locator('.live').innerText())?.[1].replace(',', '')) > 0, 'tokens per second')
    await w.shot('models-live')
    await twin.getByRole('button', { name: 'Unload twin' }).click()
    await twin.getByRole('alert').waitFor()
    expect(/in use by 1/.test(await twin.getByRole('alert').innerText()), 'it is not taken from under its user')
    const metrics = await fetch(`${server.base}/metrics`).then((r) => r.text())
    expect(/croft_num_requests_running\{model="twin"\} 1/.test(metrics), 'the metrics have it too')
    expect(/croft_generation_tokens_total\{model="twin"\} [1-9]/.test(metrics), 'and its tokens')
    stop.abort()
    await asked
    await becomes(async () => /0 of \d+ running/.test(await twin.locator('.live').innerText()), 'the end of it')
    await twin.getByRole('button', { name: 'Unload twin' }).click()
    await twin.getByRole('button', { name: 'Load twin', exact: true }).waitFor()
    await w.page.setViewportSize({ width: 380, height: 760 })
    await settles(() => overflow(w.page), 0, 'nothing wider than the window')
    await w.shot('models-small')
    await w.close()
  })

  await test('web_playground__small_and_dark', async () => {
    const w = await open('/playground', { width: 380, height: 760, dark: true, touch: true })
    await settings(sides(w.page).first(), { Temperature: '0.7', 'Most tokens': '30' })
    await w.shot('small-settings')
    await send(w.page, 'Write a sentence about the sea.')
    await complete(w.page)
    await w.page.locator('.play-text [data-at]').nth(2).tap()
    await w.page.locator('.token-card').waitFor()
    await settles(() => overflow(w.page), 0, 'nothing wider than the window')
    await w.shot('small-dark')
    await w.close()
  })
}

await main(setUp, all)
