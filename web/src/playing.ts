// The playground's sides and what they said. It lives outside the page's components, so that answers
// go on streaming while another page is in view, and in the browser's storage, so that a reload keeps
// it.
import { ApiError, callForReply, readEvents } from './api'
import { requestOf, setupProblem, type Message, type Parameters, type Setup } from './play_request'
import { gather, nothing, textOf, type Chunk, type Gathered } from './play_stream'
import { createStore } from './store'
import type { Routes } from './types'

export const SIDES_MAX = 4
const KEY = 'croft.playground'
const KEPT = 1_500_000 // characters
const REDRAW_MS = 40

export interface Answer extends Gathered {
  state: 'waiting' | 'writing' | 'done' | 'stopped' | 'failed'
  error: string | null
  run: string | null
  at: { start: number; first?: number; end?: number }
}

/** One step of a conversation: a question, or the results of the calls before; and the answer. */
export interface Turn {
  prompt: string | null
  results: { id: string; content: string }[]
  answer: Answer
}

export interface PlaySide {
  id: number
  model: string
  parameters: Parameters
  probabilities: boolean
  turns: Turn[]
}

export interface Play { setup: Setup; sides: PlaySide[]; draft: string; coloured: boolean }

const side = (id: number): PlaySide => ({ id, model: '', parameters: {}, probabilities: true, turns: [] })
const fresh = (): Play => ({
  setup: { system: '', format: 'text', schema: '', tools: '', toolChoice: 'auto' },
  sides: [side(1)], draft: '', coloured: true })

// ---- what is kept

function restored(): Play {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? 'null') as Play | null
    if (!kept?.sides?.length) return fresh()
    for (const s of kept.sides)
      for (const { answer } of s.turns) if (isOpen(answer)) answer.state = 'stopped' // by the reload
    return { ...fresh(), ...kept }
  } catch {
    return fresh()
  }
}

export const isOpen = (a: Answer): boolean => a.state === 'waiting' || a.state === 'writing'
export const sideIsOpen = (s: PlaySide): boolean => s.turns.some((t) => isOpen(t.answer))

export const play = createStore<Play>(restored())

let dirty = false
function keep(): void {
  if (!dirty) return
  dirty = false
  try {
    const text = JSON.stringify(play.get())
    // too long to keep: the settings alone
    localStorage.setItem(KEY, text.length < KEPT ? text
      : JSON.stringify({ ...play.get(), sides: play.get().sides.map((s) => ({ ...s, turns: [] })) }))
  } catch {
    // over the browser's quota: it is a convenience
  }
}
play.watch(() => (dirty = true))
if (typeof addEventListener === 'function') {
  setInterval(keep, 1000)
  addEventListener('pagehide', keep)
}

// ---- changes

export const changeSetup = (part: Partial<Setup>): void =>
  play.set((p) => ({ ...p, setup: { ...p.setup, ...part } }))
export const setDraft = (draft: string): void => play.set((p) => ({ ...p, draft }))
export const changeSide = (id: number, part: Partial<PlaySide>): void =>
  play.set((p) => ({ ...p, sides: p.sides.map((s) => (s.id === id ? { ...s, ...part } : s)) }))

/** Another side, set as the last one is, without its conversation. */
export const addSide = (): void =>
  play.set((p) => p.sides.length >= SIDES_MAX ? p : { ...p, sides: [...p.sides, {
    ...p.sides.at(-1)!, id: Math.max(...p.sides.map((s) => s.id)) + 1, turns: [] }] })

export function removeSide(id: number): void {
  stops.get(id)?.abort()
  play.set((p) => (p.sides.length < 2 ? p : { ...p, sides: p.sides.filter((s) => s.id !== id) }))
}

export function clearTurns(): void {
  stopAll()
  play.set((p) => ({ ...p, sides: p.sides.map((s) => ({ ...s, turns: [] })) }))
}

/** Takes the last question back into the box, with what was answered to it. */
export function takeBack(): void {
  stopAll()
  play.set((p) => {
    let prompt = ''
    const sides = p.sides.map((s) => {
      const at = s.turns.map((t) => t.prompt !== null).lastIndexOf(true)
      if (at < 0) return s
      prompt ||= s.turns[at]!.prompt!
      return { ...s, turns: s.turns.slice(0, at) }
    })
    return { ...p, sides, draft: p.draft.trim() ? p.draft : prompt }
  })
}

// ---- asking

const stops = new Map<number, AbortController>()
export const stopAll = (): void => stops.forEach((s) => s.abort())

/** The messages before and of the last turn. */
export function messagesOf(turns: Pick<Turn, 'prompt' | 'results' | 'answer'>[]): Message[] {
  const out: Message[] = []
  turns.forEach((t, i) => {
    if (t.prompt !== null) out.push({ role: 'user', content: t.prompt })
    for (const r of t.results) out.push({ role: 'tool', tool_call_id: r.id, content: r.content })
    if (i === turns.length - 1) return
    const { answer } = t
    out.push({ role: 'assistant', content: textOf(answer) || null,
      ...(answer.calls.length ? { tool_calls: answer.calls.map((c) => ({ id: c.id, type: 'function' as const,
        function: { name: c.name, arguments: c.arguments } })) } : {}) })
  })
  return out
}

const started = (prompt: string | null, results: Turn['results']): Turn => ({ prompt, results,
  answer: { ...nothing(), state: 'waiting', error: null, run: null, at: { start: Date.now() } } })

/** Asks every side the same. */
export function ask(prompt: string): void {
  setDraft('')
  for (const s of play.get().sides) void answerOf(s.id, [...settled(s), started(prompt, [])])
}

/** Gives one side what its calls came to. */
export function giveResults(id: number, results: Turn['results']): void {
  const s = play.get().sides.find((x) => x.id === id)
  if (s) void answerOf(id, [...s.turns, started(null, results)])
}

export function retry(id: number): void {
  const s = play.get().sides.find((x) => x.id === id)
  const last = s?.turns.at(-1)
  if (s && last) void answerOf(id, [...s.turns.slice(0, -1), started(last.prompt, last.results)])
}

/** A turn that failed before it said anything is no part of the conversation. */
const settled = (s: PlaySide): Turn[] =>
  s.turns.filter((t) => t.answer.state !== 'failed' || t.answer.pieces.length || t.answer.calls.length)

async function answerOf(id: number, turns: Turn[]): Promise<void> {
  stops.get(id)?.abort()
  const stop = new AbortController()
  stops.set(id, stop)
  const answer = turns.at(-1)!.answer
  let timer: ReturnType<typeof setTimeout> | undefined
  const show = () => {
    clearTimeout(timer)
    timer = undefined
    if (stops.get(id) !== stop) return // another one has its place
    changeSide(id, { turns: [...turns.slice(0, -1), { ...turns.at(-1)!, answer: { ...answer, pieces: [...answer.pieces] } }] })
  }
  show()
  try {
    await stream(id, turns, stop.signal, () => (timer ??= setTimeout(show, REDRAW_MS)))
    if (isOpen(answer)) fail(answer, answer.finish ? null : 'The answer ended before it was complete.')
  } catch (e) {
    if (stop.signal.aborted) answer.state = 'stopped'
    else fail(answer, e instanceof Error ? e.message : String(e))
  } finally {
    answer.at = { ...answer.at, end: Date.now() }
    show()
    if (stops.get(id) === stop) stops.delete(id)
  }
}

function fail(answer: Answer, why: string | null): void {
  answer.state = why === null ? 'done' : 'failed'
  answer.error = why
}

async function stream(id: number, turns: Turn[], signal: AbortSignal, changed: () => void): Promise<void> {
  const { setup, sides } = play.get()
  const answer = turns.at(-1)!.answer
  const problem = setupProblem(setup)
  if (problem) throw new ApiError(0, 'invalid', problem)
  const body = { ...requestOf(setup, sides.find((s) => s.id === id)!, messagesOf(turns)),
    stream: true, stream_options: { include_usage: true } }
  const reply = await callForReply('POST /v1/chat/completions',
    { body: body as unknown as Routes['POST /v1/chat/completions']['body'], signal })
  answer.run = reply.headers.get('x-croft-run')
  for await (const { data } of readEvents(reply.body!)) {
    if (data === '[DONE]') break
    const chunk = JSON.parse(data) as Chunk
    if (chunk.error) throw new ApiError(0, chunk.error.code ?? 'unknown', chunk.error.message)
    if (gather(answer, chunk) && !answer.at.first) {
      answer.state = 'writing'
      answer.at = { ...answer.at, first: Date.now() }
    }
    changed()
  }
}
