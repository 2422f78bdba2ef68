// Access in headless Chromium against the real server: signing in and out, users, keys that are
// shown once, projects, members with rules, the audit log; in the dark, at 380 px. Any error on the
// console and any failed request that a step did not expect fails the test. No models are needed.
//
// CROFT_WEB_SHOTS=folder keeps a picture of each step.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = process.env.CROFT_SOURCE_ROOT ?? join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const build = process.env.CROFT_BUILD ?? join(root, 'build')
const web = join(root, 'web')
const shots = process.env.CROFT_WEB_SHOTS

function skipAll(why) {
  console.log(`1..0 # SKIP ${why}`)
  process.exit(0)
}
const croft = join(build, 'croft')
if (!existsSync(croft)) skipAll(`${build} holds no croft`)
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!chromium) skipAll('chromium is not installed')
if (!existsSync(join(web, 'node_modules', 'playwright-core'))) {
  console.log('# installing what the test needs (npm ci)')
  execFileSync('npm', ['ci'], { cwd: web, stdio: 'ignore' })
}
const playwright = createRequire(join(web, 'package.json'))('playwright-core')

let n = 0
let failed = 0
async function test(name, fn) {
  const started = Date.now()
  try {
    await fn()
    console.log(`ok ${++n} - ${name} # ${Date.now() - started} ms`)
  } catch (e) {
    failed++
    console.log(`not ok ${++n} - ${name}`)
    for (const line of String(e?.stack ?? e).split('\n').slice(0, 12)) console.error(`# ${line}`)
  }
}
function expect(ok, what) {
  if (!ok) throw new Error(`expected: ${what}`)
}
const equal = (got, want, what) =>
  expect(got === want, `${what}: ${JSON.stringify(want)}, not ${JSON.stringify(got)}`)

// ---- the server and the browser

const dir = mkdtempSync(join(tmpdir(), 'croft-web-access-'))
const home = join(dir, 'home')
const env = { ...process.env, CROFT_HOME: home, CROFT_LISTEN: '127.0.0.1:0' }
delete env.CROFT_CONFIG
const run = (...args) => execFileSync(croft, args, { env, cwd: dir, encoding: 'utf8', timeout: 60_000 })
const server = spawn(croft, ['up'], { env, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
let log = ''
server.stderr.on('data', (d) => (log += d))
let base = ''
for (let i = 0; i < 300 && !base; i++) {
  if (server.exitCode !== null) break
  if (existsSync(join(home, 'server.json')))
    base = `http://${JSON.parse(readFileSync(join(home, 'server.json'), 'utf8')).address}`
  else await new Promise((r) => setTimeout(r, 100))
}
if (!base) {
  console.log(`not ok 1 - web_access_setup\n1..1\n# ${log}`)
  process.exit(1)
}
const browser = await playwright.chromium.launch({ executablePath: chromium, args: ['--no-sandbox',
  '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-dev-shm-usage'] })

// A window of its own: no cookies, what went wrong in it is kept.
async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1180, height: 860 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(8000)
  const wrong = []
  const allowed = options.expected ?? []
  page.on('console', (m) => m.type() === 'error' && !allowed.some((a) => m.text().includes(a)) && wrong.push(m.text()))
  page.on('pageerror', (e) => wrong.push(String(e)))
  await page.goto(base + path)
  return {
    page,
    shot: async (name) => shots && page.screenshot({ path: join(shots, `access-${name}.png`), fullPage: true }),
    close: async () => {
      await context.close()
      equal(wrong.join('\n'), '', 'errors on the console')
    },
  }
}
const dialogOf = (page) => page.locator('dialog[open]')
const button = (at, name) => at.getByRole('button', { name, exact: true })

const signInDialog = (page) => page.getByRole('dialog', { name: 'Sign in', exact: true })

async function signIn(page, name, password) {
  const d = signInDialog(page)
  await d.getByLabel('Name', { exact: true }).fill(name)
  await d.getByLabel('Password', { exact: true }).fill(password)
  await page.keyboard.press('Enter')
}

// ---- the steps, each on what the one before has made

try {
  if (shots) mkdirSync(shots, { recursive: true })

  await test('web_access__the_first_user', async () => {
    const w = await open('/', { expected: ['401', '400'] })
    await w.page.getByRole('link', { name: 'Access' }).click()
    await w.page.getByText('Nobody needs credentials').waitFor()
    await w.page.getByRole('link', { name: 'Users' }).click()
    await w.page.getByText('No users yet').waitFor()
    await button(w.page, 'Add a user').click()
    const d = dialogOf(w.page)
    await d.getByText('From now on everybody has to sign in').waitFor()
    await d.getByLabel('Name (small letters)').fill('ada')
    await d.getByLabel('Shown as').fill('Ada L.')
    await d.getByLabel('Password (at least').fill('short')
    await button(d, 'Add').click()
    await d.getByText('from 10 to').waitFor() // and says why
    await w.shot('first-user')
    await d.getByLabel('Password (at least').fill('correct horse battery')
    await button(d, 'Add').click()
    // now this very page is asked who it is
    await signInDialog(w.page).waitFor()
    await w.shot('sign-in')
    await signIn(w.page, 'ada', 'wrong horse battery')
    await signInDialog(w.page).getByText('the name or the password is wrong').waitFor()
    await signIn(w.page, 'ada', 'correct horse battery')
    await w.page.locator('.rows').getByText('Ada L.').waitFor()
    equal(await w.page.locator('dialog').count(), 0, 'dialogs')
    await w.shot('users')
    await w.close()
  })

  await test('web_access__a_key_is_shown_once', async () => {
    const w = await open('/access', { expected: ['401'] })
    await signIn(w.page, 'ada', 'correct horse battery')
    await w.page.getByText('No keys').waitFor()
    await button(w.page, 'New key').click()
    await dialogOf(w.page).getByLabel('What it is for').fill('nightly')
    await w.shot('new-key')
    await button(dialogOf(w.page), 'Make the key').click()
    const key = await dialogOf(w.page).locator('.secret').textContent()
    expect(/^croft_[0-9A-Za-z]{49}$/.test(key), 'a key')
    await w.shot('key-once')
    await button(dialogOf(w.page), 'I have kept it').click()
    await w.page.locator('.keys-table').getByText('nightly').waitFor()
    expect(!(await w.page.content()).includes(key), 'the key is not in the page any more')
    const me = await fetch(`${base}/api/v1/me`, { headers: { authorization: `Bearer ${key}` } })
    equal((await me.json()).name, 'ada', 'whose key it is')
    await w.shot('keys')
    await button(w.page, 'Revoke nightly').click()
    await button(dialogOf(w.page), 'Revoke').click()
    await w.page.locator('.badge').getByText('revoked').waitFor()
    equal((await fetch(`${base}/api/v1/me`, { headers: { authorization: `Bearer ${key}` } })).status, 401, 'the revoked key')
    await w.close()
  })

  await test('web_access__a_project_with_members', async () => {
    run('user', 'add', 'grace', '--display', 'Grace H.')
    const w = await open('/access?tab=projects', { expected: ['401', '400'] })
    await signIn(w.page, 'ada', 'correct horse battery')
    await button(w.page, 'New project').click()
    await dialogOf(w.page).getByLabel('Name').fill('churn')
    await dialogOf(w.page).getByLabel('What it is for').fill('Who leaves, and why')
    await button(dialogOf(w.page), 'Add').click()
    await w.page.locator('tr', { hasText: 'churn' }).getByRole('button', { name: 'Open' }).click()
    await w.page.getByText('in project churn').waitFor()
    await w.page.getByRole('link', { name: 'Members' }).click()
    await button(w.page, 'Add a member').click()
    const d = dialogOf(w.page)
    await d.getByLabel('Name of the user').fill('grace')
    await d.getByLabel('Role').selectOption('editor')
    await d.getByLabel('Rules').fill("deny artifact.alias when alias = 'prod'")
    await button(d, 'Add').click()
    await d.getByText('line 1, column 21').waitFor() // the rule is wrong, and where
    await d.getByLabel('Rules').fill("deny artifact.alias where alias = 'prod'")
    await button(d, 'Add').click()
    await w.page.locator('tr', { hasText: 'Grace H.' }).getByText("alias = 'prod'").waitFor()
    await w.shot('members')
    await w.page.getByRole('link', { name: 'Roles' }).click()
    await w.page.getByText('maintainer').waitFor()
    await w.shot('roles')
    await w.close()
  })

  await test('web_access__the_audit_log', async () => {
    const w = await open('/audit', { expected: ['401'] })
    await signIn(w.page, 'ada', 'correct horse battery')
    await w.page.locator('.audit-table').getByText('member.put').waitFor()
    await button(w.page, 'Verify').click()
    await w.page.getByText('one unbroken chain').waitFor()
    await w.shot('audit')
    await w.page.getByLabel('Action').fill('key.*')
    await w.page.locator('.audit-table').getByText('member.put').waitFor({ state: 'detached' })
    equal(await w.page.locator('.audit-table tbody tr').count(), 2, 'records of keys')
    const download = w.page.waitForEvent('download')
    await button(w.page, 'Export').click()
    const file = join(dir, 'audit.jsonl')
    await (await download).saveAs(file)
    expect(run('audit', 'verify', file).includes('one unbroken chain'), 'the export proves itself')
    await w.close()
  })

  await test('web_access__signing_out_and_the_password', async () => {
    const w = await open('/access?tab=password', { expected: ['401', '403'], colorScheme: 'dark' })
    await signIn(w.page, 'ada', 'correct horse battery')
    await w.page.getByRole('link', { name: 'Password' }).click()
    await w.page.getByLabel('Present password').fill('wrong horse battery')
    await w.page.getByLabel('New password (at least').fill('staple and paper')
    await w.page.getByLabel('once more').fill('staple and paper')
    await button(w.page, 'Change the password').click()
    await w.page.getByText('the old password is wrong').waitFor()
    await w.page.getByLabel('Present password').fill('correct horse battery')
    await button(w.page, 'Change the password').click()
    await w.page.getByText('The password is changed').waitFor()
    await w.shot('password-dark')
    await button(w.page, 'Sign out').click()
    await dialogOf(w.page).waitFor().catch(() => {}) // the first page may ask for nothing
    await w.page.goto(`${base}/access`)
    await signInDialog(w.page).waitFor()
    await signIn(w.page, 'ada', 'staple and paper')
    await w.page.locator('.keys-table').waitFor()
    await w.shot('keys-dark')
    await w.close()
  })

  await test('web_access__at_380_px', async () => {
    const w = await open('/access', { expected: ['401'], viewport: { width: 380, height: 780 } })
    await signIn(w.page, 'ada', 'staple and paper')
    for (const tab of ['Keys', 'Members', 'Users', 'Roles', 'Projects', 'Password']) {
      await w.page.getByRole('link', { name: tab, exact: true }).click()
      await w.page.waitForTimeout(150)
      await w.shot(`380-${tab.toLowerCase()}`)
      const wide = await w.page.evaluate(() => document.documentElement.scrollWidth)
      expect(wide <= 380, `no sideways scrolling on ${tab}, ${wide} px`)
    }
    await w.page.getByRole('link', { name: 'Audit log' }).click()
    await w.page.locator('.audit-table').waitFor()
    await w.shot('380-audit')
    expect(await w.page.evaluate(() => document.documentElement.scrollWidth) <= 380, 'no sideways scrolling in the log')
    await w.close()
  })
} finally {
  await browser.close()
  server.kill('SIGTERM')
  await new Promise((r) => server.once('exit', r))
  rmSync(dir, { recursive: true, force: true })
}
console.log(`1..${n}`)
process.exit(failed ? 1 : 0)
