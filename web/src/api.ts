// Every request of the page: call() for JSON, stream() for server-sent events. An answer that is
// no success becomes one ApiError; a 401 asks to sign in, once, and tries again.
import { createStore } from './store'
import type { Routes } from './types'

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message)
  }
}

type Route = keyof Routes
export interface CallOptions<R extends Route> {
  params?: Record<string, string>
  query?: Routes[R]['query']
  /** What the route says, or files: a form or the bytes themselves. */
  body?: Routes[R]['body'] | FormData | Blob
  signal?: AbortSignal
  /** Bytes sent so far, of files. */
  onSent?: (sent: number, total: number) => void
  /** Nobody waits for this one: do not ask for the key. */
  quiet?: boolean
}

export async function call<R extends Route>(
  route: R, options: CallOptions<R> = {}): Promise<Routes[R]['reply']> {
  return (await send(route, options)).json()
}

/** The same for an answer that is a file. */
export async function callForFile<R extends Route>(
  route: R, options: CallOptions<R> = {}): Promise<Blob> {
  return (await send(route, options)).blob()
}

/** The answer itself, for streams of another shape: readEvents(reply.body). */
export const callForReply = <R extends Route>(route: R, options: CallOptions<R>): Promise<Response> =>
  send(route, options)

/** The events of a stream, typed by a map from name to data. Ends when the server ends it. */
export async function* stream<Events, R extends Route = Route>(
  route: R, options: CallOptions<R>,
): AsyncGenerator<{ [K in keyof Events]: { event: K; data: Events[K] } }[keyof Events]> {
  const reply = await send(route, options)
  for await (const { event, data } of readEvents(reply.body!))
    yield { event: event as keyof Events, data: JSON.parse(data) }
}

export function url(route: Route, params: Record<string, string> = {}, query?: object): string {
  const path = route.slice(route.indexOf(' ') + 1)
    .replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
    .replace(/\{(\w+)\.\.\.\}/g, (_, name: string) => (params[name] ?? '').split('/').map(encodeURIComponent).join('/'))
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== '') search.set(name, String(value))
  return search.size ? `${path}?${search}` : path
}

// ---- who asks: a session's cookie, or a key that this tab holds

const KEY = 'croft.key'
/** A key, or name and password, or null for neither. */
export type Credentials = { key: string } | { name: string; password: string } | null
/** Not null: the page is to ask for credentials and give them. */
export const keyWanted = createStore<
  { give: (c: Credentials) => void; refused: string | null } | null>(null)
let asking: Promise<boolean> | null = null
let signedIn = 0 // how often

export const hasKey = () => !!sessionStorage.getItem(KEY) || !!projectChosen()

/** Asks until they fit, or nobody wants to. */
async function askForCredentials(): Promise<boolean> {
  let refused = sessionStorage.getItem(KEY) ? 'That key does not fit.' : null
  for (;;) {
    const given = await new Promise<Credentials>((give) => keyWanted.set({ give, refused }))
    if (!given) break
    refused = await signIn(given)
    if (!refused) break
  }
  keyWanted.set(null)
  asking = null
  return refused === null
}

/** Why not, or null. */
async function signIn(given: NonNullable<Credentials>): Promise<string | null> {
  if ('key' in given) {
    sessionStorage.setItem(KEY, given.key)
    signedIn++
    return null
  }
  const reply = await fetch('/api/v1/session', {
    method: 'POST', headers: { 'content-type': 'application/json' }, cache: 'no-store',
    body: JSON.stringify(given),
  }).catch(() => null)
  if (!reply) return 'The server cannot be reached.'
  if (!reply.ok) return (await errorOf(reply)).message
  sessionStorage.removeItem(KEY)
  signedIn++
  return null
}

// ---- in which project

const PROJECT = 'croft.project'

/** The project that was chosen in this tab; null: the usual one. With an argument: choose. */
export function projectChosen(next?: string | null): string | null {
  if (next === null) sessionStorage.removeItem(PROJECT)
  else if (next !== undefined) sessionStorage.setItem(PROJECT, next)
  return sessionStorage.getItem(PROJECT)
}

// ---- sending

async function send<R extends Route>(route: R, o: CallOptions<R>): Promise<Response> {
  for (;;) {
    const before = signedIn
    const reply = await transmit(route, o, sessionStorage.getItem(KEY)).catch((e) => {
      if (e instanceof DOMException && e.name === 'AbortError') throw e
      throw new ApiError(0, 'network', 'The server cannot be reached. Is croft still running?')
    })
    if (reply.ok) return reply
    if (reply.status === 401 && !o.quiet &&
      (signedIn !== before || (await (asking ??= askForCredentials())))) continue
    throw await errorOf(reply)
  }
}

async function errorOf(reply: Response): Promise<ApiError> {
  const text = await reply.text().catch(() => '')
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string } }
    return new ApiError(reply.status, error.code, error.message)
  } catch {
    return new ApiError(reply.status, 'unknown', `The server answered ${reply.status}.`)
  }
}

function transmit<R extends Route>(
  route: R, o: CallOptions<R>, key: string | null): Promise<Response> {
  const method = route.slice(0, route.indexOf(' '))
  const address = url(route, o.params, o.query)
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {}
  const project = projectChosen()
  if (project) headers['x-croft-project'] = project
  const body: unknown = o.body
  if (body instanceof FormData || body instanceof Blob)
    return transmitWithProgress(method, address, headers, body, o.onSent ?? (() => {}), o.signal)
  if (body !== undefined) headers['content-type'] = 'application/json'
  return fetch(address, {
    method, headers, signal: o.signal, cache: 'no-store',
    body: body === undefined ? undefined : JSON.stringify(body),
  })
}

// fetch cannot tell how much of a body has been sent.
function transmitWithProgress(
  method: string, address: string, headers: Record<string, string>, body: FormData | Blob,
  onSent: (sent: number, total: number) => void, signal?: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    const x = new XMLHttpRequest()
    x.open(method, address)
    for (const [name, value] of Object.entries(headers)) x.setRequestHeader(name, value)
    x.upload.onprogress = (e) => onSent(e.loaded, e.total)
    x.onload = () => resolve(new Response(x.responseText, { status: x.status }))
    x.onerror = () => reject(new TypeError('network'))
    x.onabort = () => reject(new DOMException('stopped', 'AbortError'))
    signal?.addEventListener('abort', () => x.abort())
    if (signal?.aborted) reject(new DOMException('stopped', 'AbortError'))
    else x.send(body)
  })
}

// ---- server-sent events

/** Reads text/event-stream as the HTML standard says, whatever way the bytes are cut. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: string }> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let pending = ''
  let event = 'message'
  let data: string[] = []
  try {
    for (;;) {
      const { value, done } = await reader.read()
      pending += done ? decoder.decode() : decoder.decode(value, { stream: true })
      // a CR at the end may be half of a CRLF
      const end = done ? pending.length : pending.length - (pending.endsWith('\r') ? 1 : 0)
      const lines = pending.slice(0, end).split(/\r\n|\n|\r/)
      pending = lines.pop()! + pending.slice(end)
      for (const line of lines) {
        const colon = line.indexOf(':')
        const field = colon < 0 ? line : line.slice(0, colon)
        const text = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
        if (line === '') {
          if (data.length) yield { event, data: data.join('\n') }
          event = 'message'
          data = []
        } else if (field === 'event') event = text
        else if (field === 'data') data.push(text)
      }
      if (done) return
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
