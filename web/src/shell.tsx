// What stands around every page: navigation, state of the server, theme, shortcuts, signing in.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { call, keyWanted } from './api'
import { refreshStatus, status, unreachable } from './health'
import { chooseProject, me, refreshMe } from './me'
import { pages } from './pages'
import { MissingPage } from './pages/missing'
import { closePanel, isTyping, panelIsOpen, PassagePanel } from './passage'
import type { PageName } from './paths'
import { find, href, navigate, usePlace, useRouting } from './router'
import { useStore } from './store'
import { Button, Dialog, Icon, Mark, useEvery, useLoad } from './ui'
import { DropZone, UploadTray } from './uploads'

const inNavigation = Object.entries(pages).filter(([, p]) => p.key) as
  [PageName, (typeof pages)[PageName]][]

export function Shell() {
  useRouting()
  const { path } = usePlace()
  const [help, setHelp] = useState(false)
  const found = find(path)
  const row = found && pages[found.name]
  const here = row ? (row.under ?? found.name) : null
  const Page = row?.page
  const title = row?.title ?? 'Nothing here'
  const first = useRef(true)

  useEffect(() => {
    void refreshStatus()
    void refreshMe()
  }, [])
  useEvery(10_000, () => void refreshStatus())
  useShortcuts(() => setHelp(true))
  useEffect(() => {
    document.title = found?.name === 'ask' ? 'Croft' : `${title} · Croft`
    // after a step to another page, the keyboard and the screen reader start at its head
    if (!first.current && found?.name !== 'ask')
      document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true })
    first.current = false
    // at the foot of a small window not all of them fit
    document.querySelector('.side [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [path])

  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(e) => {
        e.preventDefault()
        document.getElementById('main')?.focus()
      }}>To the content</a>
      <nav class="side behind-panel" aria-label="Pages">
        <a class="brand" href={href('ask')} aria-label="Croft, ask"
          onClick={found?.name === 'ask' ? pages.ask.again : undefined}><Mark /><span>Croft</span></a>
        <ul>
          {inNavigation.map(([name, p]) => (
            <li key={name}>
              <a href={href(name)} aria-current={here === name ? 'page' : undefined}
                onClick={found?.name === name ? p.again : undefined}
                title={`${p.title} (g ${p.key})`}>
                <Icon name={p.icon} /><span>{p.title}</span>
              </a>
            </li>
          ))}
        </ul>
        <div class="side-foot">
          <Account />
          <ServerState />
          <div class="side-tools">
            <ThemeButton />
            <Button icon="help" kind="quiet" label="Shortcuts (?)" onClick={() => setHelp(true)} />
          </div>
        </div>
      </nav>
      <main id="main" tabIndex={-1} class={`behind-panel page-${found?.name ?? 'missing'}`}>
        {Page ? <Page key={path} {...found!.params} /> : <MissingPage />}
      </main>
      <PassagePanel />
      <UploadTray />
      <DropZone />
      {help && <HelpDialog onClose={() => setHelp(false)} />}
      <SignIn />
    </div>
  )
}

function ServerState() {
  const s = useStore(status)
  const lost = useStore(unreachable)
  const [kind, text] = lost ? ['error', 'not reachable'] : !s ? ['', '…']
    : s.ready ? ['ok', s.chat_model ?? 'ready'] : ['running', s.reason ?? 'starting']
  return (
    <a class={`server state ${kind}`} href={href('settings')} title={lost ? undefined : s?.reason ?? 'The server is ready'}>
      <span class="dot" aria-hidden="true" />
      <span><span class="sr">Server: </span>{text}</span>
    </a>
  )
}

// ---- theme

const themes = ['auto', 'light', 'dark'] as const
type Theme = (typeof themes)[number]
const THEME = 'croft.theme'

function ThemeButton() {
  const [theme, setTheme] = useState<Theme>(
    (document.documentElement.dataset.theme as Theme | undefined) ?? 'auto')
  const turn = () => {
    const next = themes[(themes.indexOf(theme) + 1) % themes.length]!
    setTheme(next)
    if (next === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = next
    try {
      if (next === 'auto') localStorage.removeItem(THEME)
      else localStorage.setItem(THEME, next)
    } catch {
      // not kept then
    }
  }
  const icon = { auto: 'auto', light: 'sun', dark: 'moon' } as const
  const says = { auto: 'as the system', light: 'light', dark: 'dark' }[theme]
  return <Button class="theme" icon={icon[theme]} kind="quiet" label={`Theme: ${says}`} onClick={turn} />
}

// ---- shortcuts

function focusQuestion(): void {
  if (find(location.pathname)?.name !== 'ask') navigate(href('ask'))
  // the page may have to be drawn first, however long a busy machine takes for it
  const until = Date.now() + 2000
  const tryFocus = () => {
    const box = document.getElementById('question')
    if (box) box.focus()
    else if (Date.now() < until) requestAnimationFrame(tryFocus)
  }
  tryFocus()
}

function useShortcuts(showHelp: () => void): void {
  // with the first drawing, not after it: a key that comes at once must count
  useLayoutEffect(() => {
    let went = 0 // when "g" was pressed
    const onKey = (e: KeyboardEvent) => {
      if (document.querySelector('dialog[open]')) return
      if (e.key === 'Escape') {
        if (panelIsOpen()) closePanel()
        else if (isTyping(e.target)) (e.target as HTMLElement).blur()
        return
      }
      if (isTyping(e.target) || e.ctrlKey || e.metaKey || e.altKey) return
      if (Date.now() - went < 1500) {
        const page = inNavigation.find(([, p]) => p.key === e.key)
        went = 0
        if (page) {
          e.preventDefault()
          navigate(href(page[0]))
          return
        }
      }
      if (e.key === 'g') went = Date.now()
      else if (e.key === '/') {
        e.preventDefault()
        focusQuestion()
      } else if (e.key === '?') showHelp()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
}

function HelpDialog({ onClose }: { onClose: () => void }) {
  const rows: [string[], string][] = [
    [['/'], 'Ask a question'],
    ...inNavigation.map(([, p]): [string[], string] => [['g', p.key!], p.title]),
    [['j'], 'Next passage, in the passage view'],
    [['k'], 'Previous passage'],
    [['Esc'], 'Close the passage view, or leave a field'],
    [['?'], 'This list'],
  ]
  return (
    <Dialog title="Shortcuts" onClose={onClose}
      actions={<Button kind="main" data-first onClick={onClose}>Close</Button>}>
      <dl class="keys">
        {rows.map(([keys, what]) => (
          <div key={what}><dt>{keys.map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{what}</dd></div>
        ))}
      </dl>
    </Dialog>
  )
}

// ---- signing in

function SignIn() {
  const wanted = useStore(keyWanted)
  const [byKey, setByKey] = useState(false)
  const [name, setName] = useState('')
  const [secret, setSecret] = useState('')
  const [given, setGiven] = useState<typeof wanted>(null)
  const busy = given === wanted // until it is asked for again
  if (!wanted) return null
  const give = () => {
    if (busy || !secret.trim() || (!byKey && !name.trim())) return
    setGiven(wanted)
    wanted.give(byKey ? { key: secret.trim() } : { name: name.trim(), password: secret })
    setSecret('')
  }
  const other = () => {
    setByKey(!byKey)
    setSecret('')
  }
  return (
    <Dialog key={String(byKey)} title={byKey ? 'Use a key' : 'Sign in'} onClose={() => wanted.give(null)} actions={<>
      <Button kind="quiet" onClick={other}>{byKey ? 'Name and password' : 'Use a key'}</Button>
      <Button onClick={() => wanted.give(null)}>Not now</Button>
      <Button kind="main" icon="key" disabled={busy} onClick={give}>{byKey ? 'Continue' : 'Sign in'}</Button>
    </>}>
      <form class="fields" onSubmit={(e) => { e.preventDefault(); give() }}>
        {wanted.refused && <p class="reason" role="alert">{wanted.refused}</p>}
        {byKey && <p>An API key, or the one that the server was started with (CROFT_API_KEY). It is kept in this tab, until it is closed.</p>}
        {!byKey && <input data-first autocomplete="username" autocapitalize="off" spellcheck={false} value={name}
          placeholder="Name" aria-label="Name" onInput={(e) => setName(e.currentTarget.value)} />}
        <input type="password" data-first={byKey} autocomplete={byKey ? 'off' : 'current-password'} value={secret}
          placeholder={byKey ? 'Key' : 'Password'} aria-label={byKey ? 'API key' : 'Password'}
          onInput={(e) => setSecret(e.currentTarget.value)} />
        <button type="submit" hidden />
      </form>
      {!byKey && <Providers />}
    </Dialog>
  )
}

/** Where else one has an account; nothing when no provider is configured. */
function Providers() {
  const { data } = useLoad(() => call('GET /api/v1/oidc'), [])
  if (!data?.providers.length) return null
  const next = encodeURIComponent(location.pathname + location.search)
  return (
    <p class="row">
      {data.providers.map((p) => <a key={p.name} class="button" href={`${p.login}?next=${next}`}>Sign in with {p.title}</a>)}
    </p>
  )
}

/** Who is here, and in which project; where access is managed. */
function Account() {
  const who = useStore(me)
  if (!who) return null
  return (
    <div class="account">
      <a href={href('access')} title="Access">
        <Icon name="key" /><span>{who.method === 'open' ? 'Access' : who.display}</span>
      </a>
      {who.projects.length > 1 && (
        <select aria-label="Project" value={who.project ?? ''}
          onChange={(e) => chooseProject(e.currentTarget.value)}>
          {!who.project && <option value="">choose a project</option>}
          {who.projects.map((p) => <option key={p}>{p}</option>)}
        </select>
      )}
    </div>
  )
}
