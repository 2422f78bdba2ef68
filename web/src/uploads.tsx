// Files on their way in: dropped anywhere or chosen, two at a time, each with its own progress and
// its own outcome. They go on while other pages are in view.
import { useEffect, useRef, useState } from 'preact/hooks'
import { call } from './api'
import { count, size } from './format'
import { refreshStatus } from './health'
import { forget } from './passage'
import { href } from './router'
import { createStore, useStore } from './store'
import { Button, Icon, Progress } from './ui'
import type { Ingested } from './types'

/** A file and, when it came inside a dropped folder, its path from there. */
export interface Arrival { file: File; path?: string }

interface Upload {
  id: number
  file: File
  path?: string
  state: 'waiting' | 'sending' | 'reading' | 'indexed' | 'unchanged' | 'failed' | 'stopped'
  sent: number
  why: string
  passages: number
  document: string | null
}

const uploads = createStore<Upload[]>([])
/** Goes up whenever documents came or went: lists look again. */
export const documentsChanged = createStore(0)
const stops = new Map<number, AbortController>()
const AT_ONCE = 2
let nextId = 1

export function changedDocuments(): void {
  forget()
  documentsChanged.set((n) => n + 1)
  void refreshStatus()
}

export function addFiles(arrivals: Iterable<Arrival>): void {
  const added = [...arrivals].map((a): Upload =>
    ({ ...a, id: nextId++, state: 'waiting', sent: 0, why: '', passages: 0, document: null }))
  uploads.set((all) => [...all, ...added])
  pump()
}

export function pickFiles(): void {
  const input = document.createElement('input')
  input.type = 'file'
  input.multiple = true
  input.onchange = () => addFiles([...(input.files ?? [])].map((file) => ({ file })))
  input.click()
}

const change = (id: number, part: Partial<Upload>) =>
  uploads.set((all) => all.map((u) => (u.id === id ? { ...u, ...part } : u)))

const busy = (u: Upload) => u.state === 'sending' || u.state === 'reading'

function pump(): void {
  const all = uploads.get()
  const free = AT_ONCE - all.filter(busy).length
  all.filter((u) => u.state === 'waiting').slice(0, free).forEach((u) => void send(u))
}

async function send(u: Upload): Promise<void> {
  const stop = new AbortController()
  stops.set(u.id, stop)
  change(u.id, { state: 'sending' })
  const on = {
    signal: stop.signal,
    onSent: (sent: number, total: number) =>
      change(u.id, { sent: sent / total, state: sent >= total ? 'reading' : 'sending' }),
  }
  try {
    const d = u.path ? await sendByPath(u.path, u.file, on) : await sendForm(u.file, on)
    if (!d) throw new Error('the server said nothing about it')
    change(u.id, {
      state: d.outcome, passages: d.chunks, document: d.id,
      why: d.outcome === 'failed' ? (d.error?.message ?? 'no reason given') : '',
    })
  } catch (e) {
    const stopped = stop.signal.aborted
    change(u.id, { state: stopped ? 'stopped' : 'failed', why: stopped ? '' : (e as Error).message })
  } finally {
    stops.delete(u.id)
    changedDocuments()
    pump()
  }
}

type On = { signal: AbortSignal; onSent: (sent: number, total: number) => void }

async function sendForm(file: File, on: On): Promise<Ingested | undefined> {
  const body = new FormData()
  body.append('file', file, file.name)
  return (await call('POST /api/v1/documents', { body, ...on })).documents[0]
}

// A form keeps only a file's name; two of the same name in two folders are two documents.
const sendByPath = (path: string, file: File, on: On): Promise<Ingested> =>
  call('PUT /api/v1/documents/by-path',
    { query: { path, mtime_ms: file.lastModified }, body: new Blob([file]), ...on })

function said(u: Upload): string {
  switch (u.state) {
    case 'waiting': return 'waiting'
    case 'sending': return `sending, ${Math.round(u.sent * 100)} % of ${size(u.file.size)}`
    case 'reading': return 'reading and indexing'
    case 'indexed': return `${count(u.passages, 'passage')}, ready to be asked`
    case 'unchanged': return 'already here, unchanged'
    case 'stopped': return 'stopped'
    case 'failed': return u.why
  }
}

export function UploadTray() {
  const all = useStore(uploads)
  const [small, setSmall] = useState(false)
  if (!all.length) return null
  const open = all.filter((u) => busy(u) || u.state === 'waiting').length
  const failed = all.filter((u) => u.state === 'failed').length
  const title = open ? `Adding ${count(open, 'file')}`
    : failed ? `${count(failed, 'file')} could not be read` : 'All files are in'
  return (
    <section class="tray" aria-label="Uploads">
      <header>
        <strong role="status">{title}</strong>
        <Button icon={small ? 'left' : 'down'} kind="quiet" aria-expanded={!small}
          label={small ? 'Show the files' : 'Hide the files'} onClick={() => setSmall(!small)} />
        {!open && <Button icon="close" kind="quiet" label="Close" onClick={() => uploads.set([])} />}
      </header>
      {!small && (
        <ul>
          {all.map((u) => (
            <li key={u.id} class={u.state}>
              <Icon name={u.state === 'failed' ? 'warn' : u.state === 'indexed' || u.state === 'unchanged' ? 'check' : 'upload'} />
              <div>
                <span class="name">{u.document
                  ? <a href={href('document', { id: u.document })}>{u.file.name}</a>
                  : u.path ?? u.file.name}</span>
                <span class="dim small">{said(u)}</span>
                {busy(u) && (
                  <Progress value={u.state === 'reading' ? null : u.sent} label={u.file.name} />
                )}
              </div>
              {(busy(u) || u.state === 'waiting') && (
                <Button icon="close" kind="quiet" label={`Stop ${u.file.name}`} onClick={() => {
                  if (u.state === 'waiting') change(u.id, { state: 'stopped' })
                  else stops.get(u.id)?.abort()
                }} />
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

// ---- dropping

export function DropZone() {
  const [over, setOver] = useState(false)
  const depth = useRef(0)
  useEffect(() => {
    const hasFiles = (e: DragEvent) => e.dataTransfer?.types.includes('Files') ?? false
    const enter = (e: DragEvent) => {
      if (!hasFiles(e)) return
      depth.current++
      setOver(true)
    }
    const leave = (e: DragEvent) => {
      if (hasFiles(e) && --depth.current <= 0) {
        depth.current = 0
        setOver(false)
      }
    }
    const move = (e: DragEvent) => hasFiles(e) && e.preventDefault()
    const drop = (e: DragEvent) => {
      if (!hasFiles(e)) return
      e.preventDefault()
      depth.current = 0
      setOver(false)
      void dropped(e.dataTransfer!).then(addFiles)
    }
    addEventListener('dragenter', enter)
    addEventListener('dragleave', leave)
    addEventListener('dragover', move)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragenter', enter)
      removeEventListener('dragleave', leave)
      removeEventListener('dragover', move)
      removeEventListener('drop', drop)
    }
  }, [])
  if (!over) return null
  return (
    <div class="drop-zone" aria-hidden="true">
      <div><Icon name="upload" /><p>Drop to add to your documents</p></div>
    </div>
  )
}

/** The files of a drop, those inside dropped folders too. */
async function dropped(transfer: DataTransfer): Promise<Arrival[]> {
  // entries are only there until the event handler returns
  const entries = [...transfer.items].map((i) => i.webkitGetAsEntry?.() ?? null)
  const plain = [...transfer.files].map((file) => ({ file }))
  if (!entries.some((e) => e?.isDirectory)) return plain
  const out: Arrival[] = []
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.name.startsWith('.')) return
    if (entry.isFile) {
      const file = await new Promise<File>((ok, no) => (entry as FileSystemFileEntry).file(ok, no))
      const path = entry.fullPath.replace(/^\//, '')
      out.push(path.includes('/') ? { file, path } : { file })
    } else {
      const reader = (entry as FileSystemDirectoryEntry).createReader()
      for (;;) {
        const some = await new Promise<FileSystemEntry[]>((ok, no) => reader.readEntries(ok, no))
        if (!some.length) break
        for (const e of some) await walk(e)
      }
    }
  }
  for (const e of entries) if (e) await walk(e)
  return out
}
