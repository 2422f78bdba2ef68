// Access in headless Chromium against the real server: signing in and out, users, keys that are
// shown once, projects, members with rules, the audit log; in the dark, at 380 px. Any error on the
// console and any failed request that a step did not expect fails the test. No models are needed.
import { join } from 'node:path'
import { dir, equal, expect, main, open, overflow, run, settles, startServer, test, use } from './browser.mjs'

let server
const setUp = async () => { server = use(await startServer({}, undefined, { bare: true })) }

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

async function all() {
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
    await settles(() => w.page.locator('dialog').count(), 0, 'dialogs')
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
    const me = await fetch(`${server.base}/api/v1/me`, { headers: { authorization: `Bearer ${key}` } })
    equal((await me.json()).name, 'ada', 'whose key it is')
    await w.shot('keys')
    await button(w.page, 'Revoke nightly').click()
    await button(dialogOf(w.page), 'Revoke').click()
    await w.page.locator('.badge').getByText('revoked').waitFor()
    equal((await fetch(`${server.base}/api/v1/me`, { headers: { authorization: `Bearer ${key}` } })).status, 401, 'the revoked key')
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
    await settles(() => w.page.locator('.audit-table tbody tr').count(), 2, 'records of keys')
    const download = w.page.waitForEvent('download')
    await button(w.page, 'Export').click()
    const file = join(dir, 'audit.jsonl')
    await (await download).saveAs(file)
    expect(run('audit', 'verify', file).includes('one unbroken chain'), 'the export proves itself')
    await w.close()
  })

  await test('web_access__signing_out_and_the_password', async () => {
    const w = await open('/access?tab=password', { expected: ['401', '403'], dark: true })
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
    await w.page.goto(`${server.base}/access`)
    await signInDialog(w.page).waitFor()
    await signIn(w.page, 'ada', 'staple and paper')
    await w.page.locator('.keys-table').waitFor()
    await w.shot('keys-dark')
    await w.close()
  })

  await test('web_access__at_380_px', async () => {
    const w = await open('/access', { expected: ['401'], width: 380, height: 780 })
    await signIn(w.page, 'ada', 'staple and paper')
    for (const tab of ['Keys', 'Members', 'Users', 'Roles', 'Projects', 'Password']) {
      await w.page.getByRole('link', { name: tab, exact: true }).click()
      await w.page.waitForTimeout(150)
      await w.shot(`380-${tab.toLowerCase()}`)
      equal(await overflow(w.page), 0, `pixels beyond the right edge of ${tab}`)
    }
    await w.page.getByRole('link', { name: 'Audit log' }).click()
    await w.page.locator('.audit-table').waitFor()
    await w.shot('380-audit')
    equal(await overflow(w.page), 0, 'pixels beyond the right edge of the log')
    await w.close()
  })
}

await main(setUp, all)
