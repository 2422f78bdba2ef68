// The pages of experiments in headless Chromium: a table of runs with columns of one's choice, the
// language of filters with its errors, groups, curves of a million points with zoom, parallel
// coordinates, a run with its files, comparison with code; at 1280 px, in the dark and at 380 px.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { becomes, dir, equal, expect, main, open, overflow,
  run, settles, startServer, test, use } from './browser.mjs'

let server
const send = async (method, path, body, raw) => {
  const r = await fetch(`${server.base}/api/2.0/${path}`, { method, body: raw ?? JSON.stringify(body),
    headers: raw ? {} : { 'content-type': 'application/json' } })
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`)
  return r.json()
}
const mlflow = (path, body) => send('POST', `mlflow/${path}`, body)

const COUNT = 40
const MILLION = 1_000_000
const ids = []
let experiment
let million

async function seed() {
  experiment = (await mlflow('experiments/create', { name: 'router' })).experiment_id
  const t0 = Date.now() - 86_400_000
  for (let i = 0; i < COUNT; i++) {
    const start = t0 + i * 60_000
    const optimizer = ['adam', 'sgd'][i % 2]
    const id = (await mlflow('runs/create', { experiment_id: experiment, start_time: start, run_name: `run-${i}`,
      tags: [{ key: 'team', value: 'support' }] })).run.info.run_id
    ids.push(id)
    const metrics = Array.from({ length: 200 }, (_, step) => ({ key: 'train/loss', step, timestamp: start + step * 1000,
      value: 2 * Math.exp(-step / 50) + i / 100 }))
    metrics.push({ key: 'f1', step: 0, timestamp: start, value: 0.5 + i / 100 })
    const params = Object.entries({ optimizer, lr: [1e-5, 1e-4, 1e-3][i % 3], rank: 4 << i % 3, epochs: 3, 'a key': i })
      .map(([key, value]) => ({ key, value: String(value) }))
    await mlflow('runs/log-batch', { run_id: id, metrics, params })
    await mlflow('runs/update', { run_id: id, status: i === 7 ? 'FAILED' : 'FINISHED', end_time: start + 200_000 })
  }
  for (const i of [0, 1])
    await send('PUT', `mlflow-artifacts/artifacts/${experiment}/${ids[i]}/artifacts/croft/code.patch`, null,
      `--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-lr = 1e-4\n+lr = ${['3e-4', '1e-3'][i]}\n`)
  million = (await mlflow('runs/create', { experiment_id: experiment, start_time: t0 - 1, run_name: 'million' })).run.info.run_id
  const point = (from, k) => {
    const step = from + k // one point of all stands out: a chart of means alone would hide it
    return { key: 'loss', step, timestamp: t0 + step, value: step === 654_321 ? 50 : 3 * Math.exp(-step / 300_000) + (step % 7) / 20 }
  }
  for (let from = 0; from < MILLION; from += 8000)
    await Promise.all(Array.from({ length: 8 }, (_, i) => mlflow('runs/log-batch', { run_id: million,
      metrics: Array.from({ length: 1000 }, (_v, k) => point(from + i * 1000, k)) })))
  await mlflow('runs/update', { run_id: million, status: 'FINISHED', end_time: t0 + MILLION })
}

/** Two runs of a command, with versions of a dataset in and out. */
let data
function seedData() {
  const folder = join(dir, 'prices')
  const copies = []
  mkdirSync(folder)
  writeFileSync(join(folder, 'same.txt'), 'as before')
  for (const [i, rows] of ['1,10\n2,20\n3,30\n', '1,10\n2,25\n4,40\n'].entries()) {
    writeFileSync(join(folder, 'prices.csv'), `id,price\n${rows}`)
    run('artifact', 'push', folder, 'dataset/prices')
    copies.push(JSON.parse(run('run', '--json', '-e', 'copies', '-n', `copy-${i}`, '-i', 'in=dataset/prices', '-o', 'out.csv=dataset/copy',
      'sh', '-c', `cat in/prices.csv > out.csv; : ${i}`)).run)
    rmSync(join(dir, 'in'), { recursive: true })
  }
  const info = JSON.parse(run('runs', 'compare', ...copies, '--json')).runs[0]
  return { runs: copies, experiment: info.experiment }
}

async function setUp() {
  server = use(await startServer({}, undefined, { bare: true }))
}

const at = (query = '') => `/experiments/${experiment}${query}`
const rows = (w) => w.page.locator('.grid tbody tr[data-row]')
const cells = (w, row) => w.page.locator(`.grid tr[data-row="${row}"] td`).allInnerTexts()

async function all() {
  await test('web_experiments__an_empty_one_says_how_to_begin', async () => {
    const w = await open('/experiments')
    await w.page.locator('.begin').waitFor()
    await becomes(async () => (await w.page.locator('.begin').innerText()).includes(`MLFLOW_TRACKING_URI=${server.base}`), 'this address')
    await w.page.getByRole('link', { name: 'Default' }).click()
    await w.page.getByText('No runs yet').waitFor()
    await w.close()
  })

  const began = Date.now()
  await seed()
  data = seedData()
  console.log(`# seeded ${COUNT} runs and 1,000,000 points in ${Date.now() - began} ms`)

  await test('web_experiments__table_with_chosen_columns', async () => {
    const w = await open('/experiments')
    await w.page.getByRole('link', { name: 'router' }).click()
    await rows(w).nth(20).waitFor()
    await w.shot('experiment')
    expect(await rows(w).count() < COUNT, 'only the rows in view are there')
    await w.page.getByRole('button', { name: 'Columns' }).click()
    const dialog = w.page.locator('dialog[open]')
    await dialog.getByLabel('a key').check()
    for (const gone of ['started', 'duration', 'status']) await dialog.getByLabel(gone).uncheck()
    await dialog.getByRole('button', { name: 'Done' }).click()
    expect(decodeURIComponent(decodeURIComponent(w.page.url())).includes('params.a key'), 'the choice is in the address')
    await w.page.reload()
    await rows(w).nth(5).waitFor()
    const heads = (await w.page.locator('.grid thead th').allInnerTexts()).map((t) => t.split('\n')[0])
    expect(heads.includes('a key') && !heads.includes('status'), `the choice survives: ${heads}`)
    await w.page.locator('.grid thead button', { hasText: 'a key' }).click()
    await w.page.locator('th[aria-sort=descending]').waitFor()
    await w.page.getByText('run-9').first().waitFor() // as texts, as MLflow orders parameters
    await w.page.locator('.grid thead button', { hasText: 'f1' }).click()
    await w.page.locator('.grid tr[data-row="0"]', { hasText: 'run-39' }).waitFor()
    await w.page.locator('.grid thead button', { hasText: 'f1' }).click()
    await w.page.locator('.grid tr[data-row="0"]', { hasText: 'run-0' }).waitFor()
    await w.close()
  })

  await test('web_experiments__rows_by_keyboard', async () => {
    const w = await open(at())
    await rows(w).nth(5).waitFor()
    await w.page.locator('tr[data-row="0"] input').focus()
    for (let i = 0; i < 3; i++) await w.page.keyboard.press('PageDown')
    await w.page.keyboard.press('ArrowUp')
    const row = () => w.page.evaluate(() => document.activeElement.closest('tr')?.dataset.row)
    await w.page.waitForFunction(() => document.activeElement.closest('tr')?.dataset.row === '29')
    await w.page.keyboard.press('Space')
    await w.page.getByRole('button', { name: 'Choose none' }).waitFor()
    await settles(() => row(), '29', 'the keyboard stays there')
    await w.close()
  })

  await test('web_experiments__filter_and_its_errors', async () => {
    const w = await open(at(), { expected: ['400'] })
    await rows(w).nth(5).waitFor()
    await w.page.fill('[aria-label=Filter]', "params.optimizer = 'adam' AND (metrics.f1 > 0.8 OR attributes.status = 'FAILED')")
    await w.page.keyboard.press('Enter')
    await w.page.getByText('4 runs fit').waitFor() // adam: even; f1 > 0.8: 32, 34, 36, 38; the failed one is odd
    await settles(() => rows(w).count(), 4, 'rows')
    await w.page.fill('[aria-label=Filter]', 'metrics.f1 >> 1')
    await w.page.keyboard.press('Enter')
    await w.page.locator('.filter-error').waitFor()
    await w.shot('filter-error')
    await becomes(async () => (await w.page.locator('.filter-error').innerText()).length > 10, 'what is wrong')
    await settles(() => w.page.locator('[aria-label=Filter]').getAttribute('aria-invalid'), 'true', 'the field says so')
    await w.page.fill('[aria-label=Filter]', '')
    await rows(w).nth(10).waitFor()
    await w.close()
  })

  await test('web_experiments__groups_with_aggregates', async () => {
    const w = await open(at(`?group=params.optimizer&cols=${encodeURIComponent('metrics.f1')}`))
    await rows(w).nth(1).waitFor()
    // even i: 0.5 + mean(0, 2, .. 38) / 100
    const first = await cells(w, 0)
    expect(first[1].includes('adam') && first[1].includes('20') && first[2].startsWith('0.69'), `adam's mean: ${first}`)
    await w.page.selectOption('[aria-label=Aggregate]', 'max')
    await w.page.locator('tr[data-row="1"]', { hasText: '0.89' }).waitFor()
    await w.page.getByRole('button', { name: /adam/ }).click()
    await rows(w).nth(15).waitFor()
    await w.shot('groups')
    await w.close()
  })

  await test('web_experiments__a_million_points', async () => {
    const w = await open('/experiments')
    await w.page.evaluate(() => {
      window.longest = 0
      new PerformanceObserver((l) => l.getEntries().forEach((e) => (window.longest = Math.max(window.longest, e.duration))))
        .observe({ entryTypes: ['longtask'] })
    })
    const plot = w.page.locator('.chart-plot[data-points] canvas')
    // the page is there already: what is timed is the run's page with its chart
    const t0 = Date.now()
    await w.page.evaluate((to) => {
      const a = document.createElement('a')
      a.href = to
      document.body.append(a)
      a.click()
    }, `/experiments/${experiment}/runs/${million}`)
    await plot.waitFor()
    await w.page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))))
    const draw = Date.now() - t0
    const drawn = Number(await w.page.locator('.chart-plot').getAttribute('data-points'))
    expect(drawn > 800 && drawn <= 2000, `buckets of the whole: ${drawn}`)
    await w.shot('million')
    const answered = w.page.waitForResponse((r) => r.url().includes('/metrics/loss') && r.url().includes('from='))
    await w.page.evaluate(() => (window.longest = 0))
    const box = await w.page.locator('.chart-plot .u-over').boundingBox()
    const x = (f) => box.x + box.width * f
    await w.page.mouse.move(x(0.65), box.y + 60)
    await w.page.mouse.down()
    await w.page.mouse.move(x(0.655), box.y + 60)
    await w.page.mouse.move(x(0.66), box.y + 60)
    const t1 = Date.now()
    await w.page.mouse.up()
    const reply = await (await answered).json()
    await w.page.locator('.chart:not(.busy) figcaption .button').waitFor()
    await w.page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))))
    const zoom = Date.now() - t1
    const longest = await w.page.evaluate(() => window.longest)
    console.log(`# 1,000,000 points: first draw ${draw} ms, zoom to 1 % ${zoom} ms, longest task while zooming ${Math.round(longest)} ms`)
    const max = reply.columns.indexOf('max')
    equal(Math.max(...reply.buckets.map((b) => b[max])), 50, 'the one point that stands out is in the band')
    expect(/range=\d+\.\.\d+/.test(w.page.url()), 'the range is in the address')
    await w.shot('million-zoomed')
    // by keyboard: out, sideways, all
    await w.page.locator('.chart-plot').focus()
    const before = w.page.url()
    await w.page.keyboard.press('ArrowRight')
    await w.page.waitForFunction((u) => location.href !== u, before)
    await w.page.keyboard.press('0')
    await w.page.waitForFunction(() => !location.search.includes('range'))
    // the crosshair says values
    await w.page.mouse.move(x(0.3), box.y + 80)
    await w.page.locator('figcaption', { hasText: 'step' }).waitFor()
    await w.page.getByLabel('log y').check()
    await w.page.waitForFunction(() => location.search.includes('logy=1'))
    await w.close()
  })

  await test('web_experiments__curves_of_chosen_runs', async () => {
    const w = await open(at(`?view=curves&runs=${ids.slice(0, 12).join()}`), { dark: true })
    await w.page.locator('.chart-legend li').nth(23).waitFor()
    await settles(() => w.page.locator('.chart').count(), 2, 'charts')
    const strokes = await w.page.locator('.chart').first().locator('.swatch path')
      .evaluateAll((list) => list.map((p) => getComputedStyle(p).stroke + p.getAttribute('stroke-dasharray')))
    equal(new Set(strokes).size, 12, 'ways in which twelve curves are drawn')
    await w.page.getByText('Since start').click()
    await w.page.waitForFunction(() => location.search.includes('x=relative'))
    await w.shot('curves-dark')
    await w.close()
  })

  await test('web_experiments__parallel_coordinates', async () => {
    const cols = ['params.lr', 'params.optimizer', 'metrics.f1'].map(encodeURIComponent).join()
    const w = await open(at(`?view=parallel&cols=${cols}`))
    await w.page.getByText('41 of 41 runs').waitFor()
    const axis = w.page.getByRole('slider').nth(2)
    const box = await axis.boundingBox()
    await w.page.mouse.move(box.x + 14, box.y + 3)
    await w.page.mouse.down()
    await w.page.mouse.move(box.x + 14, box.y + box.height * 0.15, { steps: 4 })
    await w.page.mouse.up()
    await w.page.locator('[role=status]', { hasText: /^[3-9] of 41 runs/ }).waitFor()
    await w.shot('parallel')
    await axis.focus()
    await w.page.keyboard.press('Delete')
    await w.page.getByText('41 of 41 runs').waitFor()
    await w.page.getByRole('slider').nth(1).focus()
    for (let i = 0; i < 3; i++) await w.page.keyboard.press('ArrowUp') // adam is at the foot
    await w.page.getByText('20 of 41 runs').waitFor()
    await w.page.getByRole('button', { name: 'Choose these' }).click()
    await w.page.getByText('Compare 20').waitFor()
    await w.close()
  })

  await test('web_experiments__a_run_and_its_files', async () => {
    const w = await open(`/#/experiments/${experiment}/runs/${ids[0]}`) // as MLflow's client prints it
    await w.page.getByRole('button', { name: /croft/ }).click()
    const saving = w.page.waitForEvent('download')
    await w.page.getByRole('button', { name: 'Download code.patch' }).click()
    const file = await saving
    equal(file.suggestedFilename(), 'code.patch', 'the name')
    await becomes(async () => (await w.page.locator('.pairs').first().innerText()).includes('train/loss'), 'its metrics')
    await w.shot('run')
    await w.close()
  })

  await test('web_experiments__comparison_with_code', async () => {
    const w = await open(`/experiments/${experiment}/compare?ids=${ids.slice(0, 3).join()}`)
    await w.page.locator('.compare tr.differs').first().waitFor()
    const shown = await w.page.locator('.compare tbody tr:not(.group) th').allInnerTexts()
    expect(shown.includes('lr') && !shown.includes('epochs') && !shown.includes('team'), `only what differs: ${shown}`)
    await w.page.getByText('only what differs').click()
    await w.page.locator('.compare th', { hasText: 'epochs' }).waitFor()
    await w.page.locator('.diff .right b').first().waitFor()
    await w.shot('compare-runs')
    await w.page.getByRole('button', { name: 'Take run-2 out' }).click()
    await w.page.getByRole('heading', { name: '2 runs compared' }).waitFor()
    await w.close()
    const many = await open(`/experiments/${experiment}/compare?ids=${ids.join()}`)
    await many.page.locator('.compare thead th').nth(COUNT).waitFor()
    await many.page.locator('.chart-plot').first().waitFor()
    await many.close()
  })

  await test('web_experiments__one_point_is_no_plot', async () => {
    const w = await open(`/experiments/${experiment}/compare?ids=${ids.slice(0, 2).join()}`)
    await w.page.locator('.chart.single', { hasText: 'f1' }).waitFor()
    await settles(async () => (await w.page.locator('.chart.single').innerText()).replace(/\s+/g, ' '), 'f1 one point run-0 0.5 run-1 0.51', 'the values')
    await w.page.locator('.chart-plot').waitFor()
    await w.close()
  })

  await test('web_experiments__what_was_not_committed_of_one_of_two', async () => {
    const files = `mlflow-artifacts/artifacts/${experiment}/${ids[5]}/artifacts/croft/record.json`
    await send('PUT', files, null, '{}')
    const w = await open(`/experiments/${experiment}/compare?ids=${ids[5]},${ids[0]}`)
    const code = w.page.getByRole('region', { name: 'Code', exact: true })
    await code.getByText('+lr = 3e-4').waitFor()
    equal(await code.locator('.left:not(.none) code').count(), 0, 'lines of the run that had committed all')
    await w.close()
  })

  await test('web_experiments__what_runs_used_and_produced', async () => {
    const w = await open(`/experiments/${data.experiment}/compare?ids=${data.runs.join()}`)
    const inputs = w.page.getByRole('region', { name: 'Inputs' })
    await inputs.getByText('dataset/prices:2').waitFor()
    equal((await inputs.locator('li').first().innerText()).replace(/\s+/g, ' '),
      '≠ in dataset/prices:1 → dataset/prices:2 1 of 2 files What differs', 'the versions that they used')
    await inputs.getByRole('button', { name: 'What differs' }).click()
    await inputs.getByRole('button', { name: 'Show rows' }).click()
    await inputs.getByText('by id').waitFor()
    await settles(() => inputs.locator('.row-list li').count(), 3, 'rows that differ')
    await w.page.getByRole('region', { name: 'Outputs' }).getByText('dataset/copy:2').waitFor()
    const around = w.page.getByRole('region', { name: 'Environment' })
    await becomes(async () => (await around.innerText()).includes('sh -c'), 'the commands')
    await w.shot('compare-data')
    await w.page.getByRole('region', { name: 'Inputs' }).getByRole('link', { name: 'dataset/prices:2' }).click()
    await w.page.getByRole('heading', { name: 'prices' }).waitFor()
    await w.page.goto(`${server.base}/experiments/${data.experiment}/runs/${data.runs[0]}`)
    await w.page.getByRole('region', { name: 'Used' }).getByRole('link', { name: 'dataset/prices:1' }).waitFor()
    await w.page.getByRole('region', { name: 'Used' }).getByRole('button', { name: 'Files' }).first().click()
    await w.page.getByRole('region', { name: 'Used' }).getByText('prices.csv').waitFor()
    await w.page.getByRole('region', { name: 'Produced' }).getByRole('link', { name: 'dataset/copy:1' }).waitFor()
    await w.shot('run-data')
    await w.close()
  })

  await test('web_experiments__fits_380_pixels', async () => {
    const w = await open('/experiments', { width: 380, height: 760, touch: true })
    for (const path of ['/experiments', at(), at('?view=curves'), at('?view=parallel'), `/experiments/${experiment}/runs/${ids[0]}`,
      `/experiments/${experiment}/compare?ids=${ids.slice(0, 2).join()}`,
      `/experiments/${data.experiment}/compare?ids=${data.runs.join()}`, `/experiments/${data.experiment}/runs/${data.runs[0]}`]) {
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
