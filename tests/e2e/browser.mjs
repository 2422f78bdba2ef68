// What the browser's tests share: a server of its own home, headless Chromium, windows that fail on
// any error on the console, any breach of the content policy and any failed request that a step did
// not expect.
//
// CROFT_WEB_SHOTS=folder keeps a picture of each step.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = process.env.CROFT_SOURCE_ROOT ?? join(dirname(fileURLToPath(import.meta.url)), '..', '..')
export const build = process.env.CROFT_BUILD ?? join(root, 'build')
export const web = join(root, 'web')
const shots = process.env.CROFT_WEB_SHOTS

export function skipAll(why) {
  console.log(`1..0 # SKIP ${why}`)
  process.exit(0)
}
export const croft = [join(build, 'croft'), join(build, 'src', 'app', 'croft')].find(existsSync)
if (!croft) skipAll(`${build} holds no croft`)
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!chromium) skipAll('chromium is not installed')
if (!existsSync(join(web, 'node_modules', 'playwright-core'))) {
  console.error('the tests need more packages than the build: cd web && npm ci (make test-browser does it)')
  process.exit(1)
}
const playwright = createRequire(join(web, 'package.json'))('playwright-core')
if (shots) mkdirSync(shots, { recursive: true })

// ---- tests

let n = 0
let failed = 0
const filter = process.env.CROFT_TEST_FILTER
export async function test(name, fn) {
  if (filter && !name.includes(filter)) return
  const started = Date.now()
  try {
    await fn()
    console.log(`ok ${++n} - ${name} # ${Date.now() - started} ms`)
  } catch (e) {
    failed++
    console.log(`not ok ${++n} - ${name}`)
    // on standard error: prove shows only that
    for (const line of String(e?.stack ?? e).split('\n').slice(0, 12)) console.error(`# ${line}`)
  }
}
export function expect(ok, what) {
  if (!ok) throw new Error(`expected: ${what}`)
}
export const equal = (got, want, what) =>
  expect(got === want, `${what}: ${JSON.stringify(want)}, not ${JSON.stringify(got)}`)

/** What the page shows comes when it comes: asked again until it is so, for ten seconds. */
export async function becomes(fn, what) {
  for (let i = 0; i < 200; i++, await sleep(50)) if (await fn()) return
  throw new Error(`expected: ${what}`)
}
export async function settles(fn, want, what) {
  let got
  for (let i = 0; i < 200; i++, await sleep(50)) if ((got = await fn()) === want) return
  equal(got, want, what)
}

// ---- the server

export const dir = mkdtempSync(join(tmpdir(), 'croft-web-'))
export const home = join(dir, 'home')
export const env = { ...process.env, CROFT_HOME: home, CROFT_LISTEN: '127.0.0.1:0' }
delete env.CROFT_CONFIG
export const run = (...args) => execFileSync(croft, args, { env, cwd: dir, encoding: 'utf8', timeout: 240_000 })
export const sleep = (ms) => new Promise((r) => setTimeout(r, ms))

/** bare: without models; it answers, but is not ready. */
export async function startServer(extra = {}, where = home, { bare = false } = {}) {
  const child = spawn(croft, ['up'], { env: { ...env, CROFT_HOME: where, ...extra }, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.on('data', (d) => (log += d))
  const note = join(where, 'server.json')
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`croft up ended: ${log}`)
    if (existsSync(note)) {
      const { address } = JSON.parse(readFileSync(note, 'utf8'))
      const ready = await fetch(`http://${address}/readyz`).then((r) => r.status, () => 0)
      if (ready === 200 || ((bare || extra.CROFT_API_KEY) && ready)) return { base: `http://${address}`, child, log: () => log }
    }
    await sleep(100)
  }
  child.kill('SIGKILL')
  throw new Error(`the server did not become ready: ${log}`)
}
export const stopServer = ({ child }) => new Promise((done) => {
  if (child.exitCode !== null) return done()
  child.once('exit', done)
  child.kill('SIGTERM')
  setTimeout(() => child.kill('SIGKILL'), 10_000).unref()
})

// ---- the browser

export const browser = await playwright.chromium.launch({ executablePath: chromium, args: ['--no-sandbox',
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'] })

let server
let pictures = 0
/** The server that open() and the end of the test know. */
export const use = (s) => (server = s)

/** A fresh window on the page; close() fails on anything that went wrong in it unnoticed. */
export async function open(path, { width = 1280, height = 860, dark = false, expected = [], touch = false, base = server.base } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, hasTouch: touch,
    colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce', acceptDownloads: true })
  const page = await context.newPage()
  const wrong = []
  page.on('console', (m) => m.type() === 'error' && wrong.push(`console: ${m.text()}`))
  page.on('pageerror', (e) => wrong.push(`error: ${e.message}`))
  page.on('response', (r) => r.status() >= 400 && wrong.push(`${r.status()} ${r.url()}`))
  await page.addInitScript(() => addEventListener('securitypolicyviolation',
    (e) => console.error(`content policy: ${e.violatedDirective} ${e.blockedURI}`)))
  page.setDefaultTimeout(20_000)
  await page.goto(base + path)
  await page.waitForSelector('main h1')
  return {
    page,
    shot: async (name) => shots && page.screenshot({ path: join(shots, `${String(++pictures).padStart(2, '0')}-${name}.png`) }),
    close: async () => {
      await context.close()
      const unexpected = wrong.filter((w) => !expected.some((e) => w.includes(e)))
      expect(!unexpected.length, `nothing goes wrong in the browser, but: ${unexpected.join(' | ')}`)
    },
  }
}

export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth)

/** Visible, and inside the window. */
export const inView = (locator) => locator.evaluate((e) => {
  const r = e.getBoundingClientRect()
  return r.height > 0 && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth
})

/** Sets up, runs the tests, and leaves nothing behind. */
export async function main(setUp, all) {
  try {
    await setUp()
    await all()
  } catch (e) {
    failed++
    console.log(`not ok ${++n} - web_setup`)
    for (const line of String(e?.stack ?? e).split('\n')) console.log(`# ${line}`)
    if (e?.stderr) console.log(String(e.stderr).replace(/^/gm, '# '))
  } finally {
    await browser.close()
    if (server) {
      await stopServer(server)
      const odd = server.log().split('\n').filter((l) => / (error|warn) /.test(l))
      for (const line of odd) console.log(`# server: ${line}`)
    }
    rmSync(dir, { recursive: true, force: true })
  }
  console.log(`1..${n}`)
  process.exit(failed ? 1 : 0)
}
