// The small parts that every page is made of.
import type { ButtonHTMLAttributes, ComponentChildren } from 'preact'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, callForFile, hasKey, url } from './api'
import { saveAs } from './download'
import { fileName } from './format'
import type { Document } from './types'

// ---- icons: strokes on a 24 x 24 field

const icons = {
  ask: 'M4 5h16v11H10l-5 4v-4H4zM8.5 9h7M8.5 12h4.5',
  documents: 'M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13M15.5 15.5 21 21',
  collections: 'M7 14.5a2.7 2.7 0 1 0 0 5.4a2.7 2.7 0 0 0 0-5.4M15.5 4a3.2 3.2 0 1 0 0 6.4a3.2 3.2 0 0 0 0-6.4M18 15.5a2 2 0 1 0 0 4a2 2 0 0 0 0-4M9 15l4.2-5M17.5 15.5l-1-5',
  runs: 'M4 6h9M8 12h12M11 18h6M4 12h.01M4 18h3',
  models: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8v4.4M9 14.8v4.4',
  play: 'M4 5h11v8H9l-3 3v-3H4zM10 16h5l3 3v-3h2V9h-2',
  send: 'M5 12h13M12.5 6l6 6-6 6',
  stop: 'M7 7h10v10H7z',
  retry: 'M19 12a7 7 0 1 1-2.2-5.1L19 9M19 4v5h-5',
  close: 'M6 6l12 12M18 6 6 18',
  left: 'M14.5 5.5 8 12l6.5 6.5',
  right: 'M9.5 5.5 16 12l-6.5 6.5',
  down: 'M5.5 9.5 12 16l6.5-6.5',
  upload: 'M12 16V5M7 9.5 12 4.5l5 5M4.5 15v4.5h15V15',
  download: 'M12 4.5V16M7 11l5 5 5-5M4.5 19.5h15',
  trash: 'M5 7h14M9.5 7V4.5h5V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5',
  check: 'M5 12.5 10 17.5 19.5 7',
  warn: 'M12 4 21 19.5H3zM12 10v4.5M12 17v.01',
  filter: 'M4 6h16M7 12h10M10 18h4',
  sun: 'M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4',
  moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z',
  auto: 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16',
  help: 'M9 9.2a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.01M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18',
  link: 'M10 14l4-4M8.5 11.5 6 14a3.5 3.5 0 0 0 5 5l2.5-2.5M15.5 12.5 18 10a3.5 3.5 0 0 0-5-5l-2.5 2.5',
  registry: 'M4 9h16v11H4zM6.5 6h11M9 3h6M9.5 13h5',
  experiments: 'M9.5 3h5M10.5 3v6L5 19.5h14L13.5 9V3M7.8 14.5h8.4',
  clock: 'M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 7.5V12l3 2.5',
  swap: 'M4 9h14M14.5 5.5 18 9l-3.5 3.5M20 15H6M9.5 11.5 6 15l3.5 3.5',
  flag: 'M6 21V4M6 5h11l-2.5 3.5L17 12H6',
  chart: 'M4 4v16h16M7.5 15l3.5-5 3.5 3 4.5-7',
  columns: 'M4 5h16v14H4zM9.5 5v14M15 5v14',
  key: 'M14.5 4a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M10.5 13.5 4 20M6.5 17.5l2 2M16 9v.01',
} as const
export type IconName = keyof typeof icons

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={icons[name]} />
    </svg>
  )
}

/** The house above its furrows. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path class="roof" d="M5.5 16.2 16 7.2l10.5 9" />
      <path class="field" d="M8.5 19.5q7.5-3 15 0M6.5 23q9.5-3.6 19 0M5 26.5q11-4 22 0" />
    </svg>
  )
}

// ---- buttons, notes, badges

type ButtonProps = Omit<ButtonHTMLAttributes, 'icon'> & {
  icon?: IconName
  kind?: 'main' | 'quiet' | 'danger'
  label?: string
  'data-first'?: boolean
}

/** A button with words, or with an icon and a label for those who cannot see it. */
export function Button({ icon, kind, label, children, class: extra, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} aria-label={label} title={rest.title ?? label}
      class={`button ${kind ?? ''} ${children ? '' : 'bare'} ${extra ?? ''}`}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  )
}

export function Note({ kind = 'plain', title, children }: {
  kind?: 'plain' | 'warn' | 'error'; title?: string; children?: ComponentChildren
}) {
  return (
    <div class={`note ${kind}`} role={kind === 'error' ? 'alert' : undefined}>
      {kind !== 'plain' && <Icon name="warn" />}
      <div>
        {title && <strong>{title}</strong>}
        {children}
      </div>
    </div>
  )
}

export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <Note kind="error" title={error.message}>
      {error instanceof ApiError && error.status > 0 && (
        <span class="dim"> ({error.status}, {error.code})</span>
      )}
      {retry && <p><Button icon="retry" onClick={retry}>Try again</Button></p>}
    </Note>
  )
}

export function Badge({ kind, children }: { kind?: string; children: ComponentChildren }) {
  return <span class={`badge ${kind ?? ''}`}>{children}</span>
}

export function Progress({ value, label }: { value: number | null; label: string }) {
  return (
    <div class={`progress ${value === null ? 'unknown' : ''}`} role="progressbar" aria-label={label}
      aria-valuemin={0} aria-valuemax={100}
      aria-valuenow={value === null ? undefined : Math.round(value * 100)}>
      <div style={{ width: value === null ? '30%' : `${value * 100}%` }} />
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Mark />
      <h2>{title}</h2>
      {children}
    </div>
  )
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  )
}

/** A choice of one among few, as buttons. */
export function Choice<T extends string>({ label, value, options, onChange }: {
  label: string; value: T; options: readonly (readonly [T, string])[]; onChange: (v: T) => void
}) {
  return (
    <div class="choice" role="radiogroup" aria-label={label}>
      {options.map(([v, text]) => (
        <label key={v} class={v === value ? 'on' : ''}>
          <input type="radio" name={label} checked={v === value} onChange={() => onChange(v)} />
          {text}
        </label>
      ))}
    </div>
  )
}

/** Rows of small inputs that belong together. */
export function Field({ label, children }: { label: string; children: ComponentChildren }) {
  return <label class="field"><span>{label}</span>{children}</label>
}

// ---- dialogs

export function Dialog({ title, onClose, children, actions }: {
  title: string; onClose: () => void; children: ComponentChildren; actions?: ComponentChildren
}) {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null
    const d = ref.current!
    d.showModal()
    d.querySelector<HTMLElement>('[data-first]')?.focus()
    return () => {
      d.close()
      before?.focus?.()
    }
  }, [])
  return (
    <dialog ref={ref} aria-label={title} onCancel={(e) => { e.preventDefault(); onClose() }}
      onClick={(e) => e.target === ref.current && onClose()}>
      <div class="dialog">
        <h2>{title}</h2>
        {children}
        {actions && <div class="actions">{actions}</div>}
      </div>
    </dialog>
  )
}

export function Confirm({ title, action, onYes, onClose, children }: {
  title: string; action: string; onYes: () => Promise<unknown>; onClose: () => void
  children: ComponentChildren
}) {
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    try {
      await onYes()
      onClose()
    } catch (e) {
      setError(e as Error)
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose} actions={<>
      <Button data-first onClick={onClose}>Keep it</Button>
      <Button kind="danger" icon="trash" disabled={busy} onClick={go}>{action}</Button>
    </>}>
      {children}
      {error && <Failure error={error} />}
    </Dialog>
  )
}

// ---- loading

export interface Loaded<T> {
  data: T | null
  error: Error | null
  loading: boolean
  reload: () => void
}

/** Asks again whenever deps change; what was there stays in view meanwhile. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data: T | null; error: Error | null; loading: boolean }>(
    { data: null, error: null, loading: true })
  const [again, setAgain] = useState(0)
  useEffect(() => {
    const stop = new AbortController()
    setState((s) => ({ ...s, loading: true }))
    load(stop.signal).then(
      (data) => !stop.signal.aborted && setState({ data, error: null, loading: false }),
      (error: Error) =>
        !stop.signal.aborted && setState((s) => ({ ...s, error, loading: false })))
    return () => stop.abort()
  }, [...deps, again])
  const reload = useCallback(() => setAgain((n) => n + 1), [])
  return { ...state, reload }
}

/** Runs fn every so often while the page is in view. */
export function useEvery(ms: number, fn: () => void, on = true): void {
  const latest = useRef(fn)
  latest.current = fn
  useEffect(() => {
    if (!on) return
    const timer = setInterval(() => document.hidden || latest.current(), ms)
    return () => clearInterval(timer)
  }, [ms, on])
}

export function useMedia(query: string): boolean {
  const [fits, setFits] = useState(() => matchMedia(query).matches)
  useEffect(() => {
    const m = matchMedia(query)
    const on = () => setFits(m.matches)
    on()
    m.addEventListener('change', on)
    return () => m.removeEventListener('change', on)
  }, [query])
  return fits
}

/** A value that follows another once it has been still for a while. */
export function useSettled<T>(value: T, ms = 250): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}

// ---- shared by several pages

export function PageHead({ title, sub, children }: {
  title: string; sub?: ComponentChildren; children?: ComponentChildren
}) {
  return (
    <header class="page-head">
      <div>
        <h1 tabIndex={-1}>{title}</h1>
        {sub && <p class="dim">{sub}</p>}
      </div>
      {children && <div class="actions">{children}</div>}
    </header>
  )
}

/** The original file. With a key set the browser cannot fetch a link by itself. */
export function DownloadLink({ document: d }: { document: Pick<Document, 'id' | 'path'> }) {
  const address = url('GET /api/v1/documents/{id}/content', { id: d.id })
  const [error, setError] = useState<Error | null>(null)
  const onClick = async (e: Event) => {
    if (!hasKey()) return
    e.preventDefault()
    try {
      const blob = await callForFile('GET /api/v1/documents/{id}/content', { params: { id: d.id } })
      saveAs(blob, fileName(d.path))
    } catch (failed) {
      setError(failed as Error)
    }
  }
  return (
    <a class="button" href={address} download={fileName(d.path)} onClick={onClick}
      title={error?.message}>
      <Icon name="download" /> {error ? 'Download failed' : 'Original'}
    </a>
  )
}

export const documentTypes = ['pdf', 'docx', 'pptx', 'xlsx', 'html', 'markdown', 'text', 'csv',
  'tsv', 'json', 'jsonl', 'epub', 'email'] as const

/** Where in a document: "p. 3 · Install › From source". */
export function where(page: number, headingPath: string): string {
  const parts = [page ? `p. ${page}` : '', headingPath.split(' > ').filter(Boolean).join(' › ')]
  return parts.filter(Boolean).join(' · ')
}
