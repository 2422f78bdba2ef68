// The page in headless Chromium against the real server with real models: a person asks, follows a
// citation to the highlighted passage, adds files, looks at runs and models; by mouse, by keyboard
// alone, in the dark, at 380 px. browser.mjs says what fails a test beyond its own words.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { becomes, browser, croft, dir, env, equal, expect, inView, main, open, overflow,
  root, run, settles, skipAll, startServer, stopServer, test, use, web } from './browser.mjs'

const models = process.env.CROFT_TEST_MODELS ?? join(root, 'build', 'models')
const gguf = existsSync(join(models, 'smollm2')) &&
  readdirSync(join(models, 'smollm2')).find((f) => f.endsWith('.gguf'))
if (!gguf || !existsSync(join(models, 'minilm'))) skipAll(`${models} lacks the default models`)

// ---- the documents

const docs = join(dir, 'docs')
mkdirSync(docs)
const QUOTE = 'The lamp of Skerryvore must be trimmed every four hours, – never later – and the oil is warmed to forty degrees first.'
writeFileSync(join(docs, 'lamp.md'), `# The keeper's book

## The lamp

“Naïve” keepers, so the inspector's café talk goes, let it burn: 羊 🐑. ${QUOTE}
Soot on the glass halves the light within one night.

## The fog bell

The fog bell of Skerryvore is struck once every thirty seconds while the far reef cannot be seen.

| month | oil, litres |
| --- | --- |
| January | 310 |
| July | 120 |
`)
writeFileSync(join(docs, 'garden.txt'), `The keeper's garden.\n\nPotatoes are planted in the first week of May behind the north wall, because the wall keeps off the salt wind.\n\nKale stands through the winter and feeds the cow.\n`)
writeFileSync(join(docs, 'stores.csv'), 'item,quantity,shelf\nrope,40 m,3\nwicks,220,1\npaint,12 tins,2\n')

const HANDBOOK = `<html><head><title>Boat handbook</title></head><body>
<h1>Boat handbook</h1><p>How the landing boat of the station is handled.</p>
<div style="page-break-before: always"></div>
<h2>Landing in swell</h2><p>The boat lands on the seventh wave, because it is followed by a lull of half a minute.</p>
<div style="page-break-before: always"></div>
<h2>Winter storage</h2><p>In November the boat is drawn up to the slip and covered with two tarpaulins.</p>
</body></html>`

// The document that needs pages is printed by the browser itself.
{
  const page = await browser.newPage()
  await page.setContent(HANDBOOK)
  await page.pdf({ path: join(docs, 'boat.pdf') })
  await page.close()
}

let server

async function ask(page, question) {
  await page.fill('#question', question)
  await page.keyboard.press('Enter')
  await answered(page)
}

async function answered(page) {
  const ended = page.locator('.answer [role=status]', { hasText: /Answer complete|Failed|Stopped/ })
  await ended.waitFor({ state: 'attached', timeout: 120_000 })
  equal(await ended.innerText(), 'Answer complete',
    `how it ended (${(await page.locator('.answer .note').allInnerTexts()).join(' ')})`)
}

const drop = async (page, files) => {
  const data = await page.evaluateHandle((list) => {
    const d = new DataTransfer()
    for (const [name, text] of list) d.items.add(new File([text], name))
    return d
  }, files)
  await page.dispatchEvent('main', 'dragenter', { dataTransfer: data })
  await page.waitForSelector('.drop-zone')
  await page.dispatchEvent('main', 'drop', { dataTransfer: data })
}

async function all() {
  await test('web_types__the_sources_are_sound', () => {
    execFileSync(process.execPath, [join(web, 'node_modules', 'typescript', 'bin', 'tsc'), '--noEmit'],
      { cwd: web, encoding: 'utf8' })
  })

  await test('web_types__are_those_of_the_routes', () => {
    const now = execFileSync(croft, ['api', 'typescript'], { env, cwd: dir, encoding: 'utf8' })
    expect(now === readFileSync(join(web, 'src', 'types.gen.ts'), 'utf8'),
      'web/src/types.gen.ts as the tables have it: cd web && npm run types')
  })

  await test('web_ask__answer_streams_with_best_sentences_and_sources', async () => {
    const w = await open('/')
    await w.page.waitForSelector('.examples')
    await w.shot('welcome')
    await ask(w.page, 'How often must the lamp of Skerryvore be trimmed?')
    await becomes(async () => await w.page.locator('.best li').count() > 0, 'best supporting sentences')
    await becomes(async () => (await w.page.locator('.best').innerText()).includes('every four hours'), 'the sentence that answers')
    await becomes(async () => (await w.page.locator('.prose').innerText()).length > 0, 'a generated text')
    for (const step of ['Retrieved', 'Read', 'Wrote', 'Checked'])
      await becomes(async () => (await w.page.locator('.steps').innerText()).includes(step), `the step ${step} with its time`)
    await w.shot('answer')
    await w.close()
  })

  await test('web_ask__a_citation_opens_the_highlighted_passage', async () => {
    const w = await open('/')
    const questions = ['How often must the lamp of Skerryvore be trimmed?',
      'When is the fog bell of Skerryvore struck?', 'When are potatoes planted?', 'When does the boat land in swell?']
    let cited = false
    for (const q of questions) {
      await ask(w.page, q)
      if (await w.page.locator('.prose a.cite').count()) { cited = true; break }
    }
    expect(cited, 'a citation in one of the answers')
    const chip = w.page.locator('.prose a.cite').first()
    expect(/^Citation \d+, (verbatim|supported|unsupported): /.test(await chip.getAttribute('aria-label')),
      'a citation says how far it can be trusted')
    await chip.click()
    const mark = w.page.locator('.panel mark.focus').first()
    await mark.waitFor()
    expect(await inView(mark), 'the quote is scrolled into view')
    await w.shot('citation')
    // the panel is in the address: it survives a reload, and Back closes it
    await w.page.reload()
    await w.page.locator('.panel mark.focus').first().waitFor()
    await w.page.goBack()
    await w.page.locator('.panel').waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_passage__quote_is_marked_to_the_byte', async () => {
    const w = await open('/')
    await ask(w.page, 'How often must the lamp of Skerryvore be trimmed?')
    const best = w.page.locator('.best li a', { hasText: 'every four hours' }).first()
    const quote = (await best.locator('q').innerText()).trim()
    await best.click()
    await w.page.locator('.panel mark.focus').first().waitFor()
    // characters of two, three and four bytes stand before the quote
    const marked = (await w.page.locator('.panel mark.focus').allInnerTexts()).join(' ')
    equal(marked.replace(/\s+/g, ' ').trim(), quote.replace(/\s+/g, ' '), 'what is marked')
    await becomes(async () => (await w.page.locator('.panel .where').innerText()).includes('The lamp'), 'the heading path')
    await becomes(async () => (await w.page.locator('.panel mark.around').count()) > 0, 'the passage around it')
    await w.shot('quote')
    const at = await w.page.locator('.panel footer .num').innerText()
    const step = (await w.page.locator('.panel [aria-label^="Next passage"]').isDisabled())
      ? 'Previous passage' : 'Next passage'
    if (!/ of 1$/.test(at)) {
      await w.page.click(`.panel [aria-label^="${step}"]`)
      await w.page.waitForFunction((before) => document.querySelector('.panel footer .num').innerText !== before, at)
    }
    await w.page.keyboard.press('Escape')
    await w.page.locator('.panel').waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_passage__pdf_shows_its_page', async () => {
    const w = await open('/')
    await ask(w.page, 'On which wave does the boat land in swell?')
    await w.page.locator('.best li a', { hasText: 'seventh wave' }).first().click()
    await w.page.locator('.panel mark.focus').first().waitFor()
    await becomes(async () => (await w.page.locator('.panel .where').innerText()).startsWith('p. 2'), 'page 2 of the PDF')
    await becomes(async () => (await w.page.locator('.panel .page-mark').allInnerTexts()).includes('Page 2'), 'a mark where page 2 begins')
    const [file] = await Promise.all([w.page.waitForEvent('download'),
      w.page.locator('.panel a[download]').click()])
    equal(file.suggestedFilename(), 'boat.pdf', 'the original downloads')
    expect(readFileSync(await file.path()).equals(readFileSync(join(docs, 'boat.pdf'))), 'byte for byte')
    await w.shot('pdf')
    await w.close()
  })

  await test('web_ask__says_so_when_the_documents_do_not_answer', async () => {
    const w = await open('/')
    await ask(w.page, 'Which quarterback won the 1987 football championship in Denver?')
    await becomes(async () => /do not answer/.test(await w.page.locator('.answer .note.warn').innerText()), 'a plain statement')
    await w.shot('not-answered')
    await w.close()
  })

  await test('web_ask__stop_retry_and_history', async () => {
    const w = await open('/', { expected: [] })
    await w.page.fill('#question', 'Tell everything about the lamp, the bell, the garden and the boat.')
    // by the page itself, in the moment in which the button is there: on a busy machine a click from
    // outside comes after the end of a short answer
    await w.page.evaluate(() => {
      const stop = (_, observer) => {
        const button = [...document.querySelectorAll('button')].find((b) => (b.ariaLabel ?? b.textContent).trim() === 'Stop')
        if (!button) return
        observer.disconnect()
        button.click()
      }
      new MutationObserver(stop).observe(document.body, { subtree: true, childList: true, attributes: true })
    })
    await w.page.keyboard.press('Enter')
    const ended = w.page.locator('[role=status]', { hasText: /Stopped|Answer complete/ })
    await ended.waitFor({ state: 'attached' })
    const stopped = (await ended.innerText()) === 'Stopped'
    await w.page.getByRole('button', { name: 'Ask again' }).click()
    await answered(w.page)
    expect(stopped, 'the stop came before the end')
    await settles(() => w.page.locator('.history li').count(), 1, 'earlier questions')
    await w.page.click('.history button')
    await w.page.locator('.answer .note', { hasText: 'Stopped' }).waitFor()
    await w.close()
  })

  await test('web_ask__filters', async () => {
    const w = await open('/')
    await w.page.getByRole('button', { name: 'Filters' }).click()
    await w.page.locator('.filters select').selectOption('text')
    await ask(w.page, 'How often must the lamp of Skerryvore be trimmed?')
    await becomes(async () => (await w.page.locator('.answer').innerText()).includes('Only type text'), 'the filter that was used')
    const hrefs = await w.page.locator('.retrieved a strong').allTextContents()
    expect(hrefs.every((t) => /garden/i.test(t)), `only the text file: ${hrefs}`)
    await w.close()
  })

  await test('web_documents__drag_and_drop_progress_failures_and_reasons', async () => {
    const w = await open('/documents')
    await w.page.locator('.documents-table tbody tr').first().waitFor()
    const before = await w.page.locator('.documents-table tbody tr').count()
    await drop(w.page, [['tides.md', '# Tides\n\nSpring tides at the station rise four metres and ten.\n'],
      ['broken.docx', 'PK\u0003\u0004 this is no archive at all'], ['empty.pdf', '']])
    await w.page.locator('.tray li.indexed', { hasText: 'tides.md' }).waitFor({ timeout: 60_000 })
    await w.page.locator('.tray li.failed', { hasText: 'broken.docx' }).waitFor()
    await w.page.locator('.tray li.failed', { hasText: 'empty.pdf' }).waitFor()
    await becomes(async () => (await w.page.locator('.tray li.failed .small').first().innerText()).length > 8, 'a reason in the tray')
    await w.shot('uploads')
    await w.page.waitForFunction((k) => document.querySelectorAll('.documents-table tbody tr').length >= k, before + 3)
    await w.page.click('text=See which, and why')
    await w.page.waitForFunction(() => [...document.querySelectorAll('.documents-table tbody tr')].every((r) => r.classList.contains('failed')))
    const reasons = await w.page.locator('.documents-table .reason').allInnerTexts()
    expect(reasons.length >= 2 && reasons.every((r) => r.length > 8), `each failure has its reason: ${reasons}`)
    await w.shot('failed')
    await w.page.fill('input[type=search]', 'broken')
    await w.page.waitForFunction(() => document.querySelectorAll('.documents-table tbody tr').length === 1)
    await w.close()
  })

  await test('web_documents__what_was_dropped_is_answered_at_once', async () => {
    const w = await open('/')
    await ask(w.page, 'How far do spring tides rise at the station?')
    await becomes(async () => (await w.page.locator('.best').innerText()).includes('four metres and ten'), 'the new document')
    await w.close()
  })

  await test('web_documents__detail_passages_text_and_delete', async () => {
    const w = await open('/documents')
    await w.page.locator('.main-cell a', { hasText: /tides/i }).first().click()
    await w.page.locator('.chunks li').first().waitFor()
    await becomes(async () => /\d+ tokens? · bytes \d+–\d+/.test(await w.page.locator('.chunks li').first().innerText()), 'tokens and offsets')
    await w.page.locator('.chunks a').first().click()
    const mark = w.page.locator('.sheet mark.focus').first()
    await mark.waitFor()
    await becomes(async () => (await w.page.locator('.sheet mark.focus').allInnerTexts()).join(' ').includes('Spring tides'), 'the passage in the text')
    await w.page.getByText('Details', { exact: true }).click()
    await becomes(async () => /SHA-256\s+[0-9a-f]{64}/.test(await w.page.locator('.facts').innerText()), 'the hash')
    await w.shot('document')
    await w.page.getByRole('button', { name: 'Delete' }).click()
    await w.page.getByRole('button', { name: 'Keep it' }).click()
    await settles(() => w.page.locator('dialog').count(), 0, 'dialogs after keeping')
    await w.page.getByRole('button', { name: 'Delete' }).click()
    await w.page.locator('dialog').getByRole('button', { name: 'Delete' }).click()
    await w.page.waitForURL('**/documents')
    await w.page.locator('.documents-table').waitFor()
    await w.page.waitForFunction(() => !document.querySelector('.documents-table').innerText.includes('tides'))
    await w.close()
  })

  await test('web_search__scores_ranks_and_why', async () => {
    const w = await open('/search')
    await w.page.fill('#search', 'fog bell')
    await w.page.keyboard.press('Enter')
    const first = w.page.locator('.hits > li').first()
    await first.waitFor()
    const text = await first.innerText()
    expect(/Meaning/.test(text) && /Words/.test(text) && /no\. 1/.test(text), `both scores with ranks: ${text}`)
    await first.locator('.why summary').click()
    await becomes(async () => /bell/.test(await first.locator('.why table').innerText()), 'the terms that count')
    await w.shot('search')
    await w.page.getByText('Words', { exact: true }).first().click()
    await w.page.waitForURL('**method=bm25**')
    await w.page.locator('.hits .title').first().click()
    await w.page.locator('.panel mark.focus').first().waitFor()
    await w.close()
  })

  await test('web_search__stages_and_autopsy', async () => {
    const w = await open('/search?q=what+do+the+markdown+documents+say+of+the+bell')
    await w.page.locator('.hits > li').first().waitFor()
    expect(!(await w.page.locator('.stage-trail').count()), 'nothing was done beside the search')
    await w.page.getByRole('button', { name: 'Filters and stages' }).click()
    await w.page.getByLabel('Filters from the question').check()
    await w.page.locator('.stage-trail').waitFor()
    await becomes(async () => /type markdown \(“markdown”\)/.test(await w.page.locator('.stage-trail').innerText()), 'the derived filter, with its word')
    await w.page.getByRole('button', { name: 'Without this filter' }).click()
    await settles(() => w.page.locator('.stage-trail').count(), 0, 'trails without it')
    await w.page.getByLabel('Whole sections').check()
    await w.page.waitForURL('**stages=section**')
    await becomes(async () => /context/.test(await w.page.locator('.stage-trail').innerText()), 'the stages with their times')
    await w.page.locator('.autopsy summary').click()
    await w.page.fill('#autopsy-answer', 'zanzibar')
    await w.page.getByRole('button', { name: 'Find out' }).click()
    const verdict = w.page.locator('.verdict')
    await verdict.waitFor()
    expect(/Not ingested/.test(await verdict.innerText()), `the stage: ${await verdict.innerText()}`)
    await w.page.fill('#autopsy-answer', 'fog bell')
    await w.page.getByRole('button', { name: 'Find out' }).click()
    await becomes(async () => /Found/.test(await verdict.innerText()) && /words no\. \d/.test(await verdict.innerText()), 'where it stands')
    await w.shot('autopsy')
    await w.close()
  })

  await test('web_runs__list_waterfall_inputs_and_outputs', async () => {
    const w = await open('/runs')
    await w.page.locator('.runs-table tbody tr', { hasText: 'ask' }).first().locator('a').click()
    await w.page.locator('.span').first().waitFor()
    const names = await w.page.locator('.span-name').allInnerTexts()
    for (const name of ['retrieve', 'generate', 'check'])
      expect(names.some((x) => x.includes(name)), `a span ${name} among ${names}`)
    await w.page.locator('.span', { hasText: 'retrieve' }).first().click()
    await w.page.waitForURL('**span=**')
    await w.page.locator('.detail h2', { hasText: 'retrieve' }).waitFor()
    await becomes(async () => (await w.page.locator('.detail').innerText()).length > 20, 'attributes of the span')
    await w.shot('run')
    await w.page.reload() // a deep link
    await w.page.locator('.detail h2', { hasText: 'retrieve' }).waitFor()
    await w.close()
  })

  await test('web_models_and_settings', async () => {
    const w = await open('/models')
    await w.page.locator('.card').first().waitFor()
    const text = await w.page.locator('main').innerText()
    expect(/smollm2/i.test(text) && /minilm/i.test(text) && /default/.test(text), 'the installed models')
    await w.shot('models')
    await w.page.keyboard.press('g')
    await w.page.keyboard.press('t')
    await w.page.locator('.settings-table tbody tr').first().waitFor()
    await becomes(async () => /CROFT_LISTEN/.test(await w.page.locator('.settings-table').innerText()), 'where a setting comes from')
    await w.shot('settings')
    await w.close()
  })

  await test('web_shell__by_keyboard_alone', async () => {
    const w = await open('/documents')
    const key = (...keys) => keys.reduce((p, k) => p.then(() => w.page.keyboard.press(k)), Promise.resolve())
    await w.page.keyboard.press('/')
    await w.page.waitForFunction(() => document.activeElement?.id === 'question')
    await w.page.keyboard.type('When is the fog bell of Skerryvore struck?')
    await key('Enter')
    await answered(w.page)
    // to the first best sentence by Tab, always with a visible focus
    for (let i = 0; i < 60; i++) {
      await key('Tab')
      const at = await w.page.evaluate(() => {
        const e = document.activeElement
        const ring = getComputedStyle(e).outlineStyle !== 'none' || !!e.closest(':focus-within')
        return { best: !!e.closest('.best'), ring }
      })
      expect(at.ring, 'a visible focus')
      if (at.best) break
    }
    await becomes(async () => await w.page.evaluate(() => !!document.activeElement.closest('.best')), 'Tab reaches the best sentences')
    await key('Enter')
    await w.page.locator('.panel mark.focus').first().waitFor()
    await becomes(async () => await w.page.evaluate(() => !!document.activeElement.closest('.panel')), 'focus is in the panel')
    await key('Escape')
    await w.page.locator('.panel').waitFor({ state: 'detached' })
    await becomes(async () => await w.page.evaluate(() => !!document.activeElement.closest('.best')), 'focus is back where it was')
    await key('g', 'r')
    await w.page.waitForURL('**/runs')
    await key('?')
    await w.page.locator('dialog[open]').waitFor()
    await key('Escape')
    await w.page.locator('dialog').waitFor({ state: 'detached' })
    await w.close()
  })

  await test('web_shell__dark_is_kept_and_follows_the_system', async () => {
    const w = await open('/', { dark: true })
    const background = () => w.page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const dark = await background()
    expect(dark.match(/\d+/g).slice(0, 3).every((c) => Number(c) < 60), `a dark page: ${dark}`)
    await w.page.click('.theme') // auto -> light
    expect((await background()).match(/\d+/g).slice(0, 3).every((c) => Number(c) > 200), 'a light page')
    await w.page.reload()
    expect((await background()).match(/\d+/g).slice(0, 3).every((c) => Number(c) > 200), 'the choice is kept')
    await w.page.click('.theme') // light -> dark
    equal(await background(), dark, 'dark by choice')
    await w.shot('dark')
    await w.close()
  })

  await test('web_shell__380_pixels', async () => {
    const w = await open('/', { width: 380, height: 740, touch: true })
    await ask(w.page, 'How often must the lamp of Skerryvore be trimmed?')
    await w.shot('narrow')
    equal(await overflow(w.page), 0, 'sideways scrolling of the answer')
    await w.page.locator('.best li a').first().click()
    await w.page.locator('.panel mark.focus').first().waitFor()
    await becomes(async () => await inView(w.page.locator('.panel mark.focus').first()), 'the quote is in view')
    equal(await overflow(w.page), 0, 'sideways scrolling of the passage')
    await w.shot('narrow-passage')
    await w.page.locator('.panel [aria-label^="Close"]').click()
    for (const path of ['/documents', '/search?q=bell', '/runs', '/models', '/settings']) {
      await w.page.goto(server.base + path)
      await w.page.waitForSelector('main h1')
      await w.page.waitForTimeout(400)
      equal(await overflow(w.page), 0, `sideways scrolling of ${path}`)
    }
    await w.close()
  })

  await test('web_shell__what_is_not_there', async () => {
    const w = await open('/documents', { expected: ['404'] })
    await w.page.goto(`${server.base}/documents/${'0'.repeat(32)}`)
    await w.page.locator('.note.error').waitFor()
    await w.page.goto(`${server.base}/no/such/page`)
    await w.page.getByText('There is nothing here').waitFor()
    await w.close()
  })

  await test('web_shell__asks_for_the_key', async () => {
    const locked = await startServer({ CROFT_API_KEY: 'turf-and-slate' }, join(dir, 'locked'))
    try {
      const w = await open('/documents', { expected: ['401'], base: locked.base })
      const dialog = w.page.locator('dialog[open]')
      await dialog.waitFor()
      await dialog.getByRole('button', { name: 'Use a key' }).click()
      await w.shot('key')
      await dialog.locator('input').fill('wrong')
      await w.page.keyboard.press('Enter')
      await dialog.waitFor() // and asks again
      await dialog.locator('input').fill('turf-and-slate')
      await w.page.keyboard.press('Enter')
      await w.page.getByText('Nothing here yet').waitFor()
      await settles(() => w.page.locator('dialog').count(), 0, 'dialogs once the key fits')
      await w.page.goto(`${locked.base}/settings`) // the same tab keeps it
      await w.page.locator('.settings-table tbody tr').first().waitFor()
      expect(!(await w.page.content()).includes('turf-and-slate'), 'the key is not shown')
      await w.close()
    } finally {
      await stopServer(locked)
    }
  })
}

await main(async () => {
  run('pull', join(models, 'smollm2', gguf), '--name', 'smollm2-135m-instruct')
  run('pull', join(models, 'minilm'), '--name', 'all-minilm-l6-v2')
  server = use(await startServer())
  run('ingest', docs)
}, all)
