// One answer of the playground: its text with the probabilities of its tokens, its tool calls, its
// numbers.
import { useRef, useState } from 'preact/hooks'
import { duration, count } from './format'
import { giveResults, isOpen, retry, type Answer, type Turn } from './playing'
import { probability, rate, shade, textOf, type Piece, type Token } from './play_stream'
import { href } from './router'
import { Button, Icon } from './ui'

const percent = (p: number): string => (p >= 0.995 && p < 0.9995 ? `${(p * 100).toFixed(1)} %`
  : p < 0.0995 ? `${(p * 100).toFixed(p < 0.00995 ? 2 : 1)} %` : `${Math.round(p * 100)} %`)
/** What is not seen otherwise. */
const shown = (token: string): string =>
  token.replace(/ /g, '␣').replace(/\n/g, '⏎').replace(/\t/g, '⇥') || '(nothing)'

export function AnswerOf({ side, turn, last, coloured }: {
  side: number; turn: Turn; last: boolean; coloured: boolean
}) {
  const a = turn.answer
  const said = a.state === 'waiting' ? 'Waiting' : a.state === 'writing' ? 'Writing'
    : a.state === 'done' ? 'Answer complete' : a.state === 'stopped' ? 'Stopped' : 'Failed'
  return (
    <div class={`play-answer ${a.state}`}>
      <span class="sr" role="status">{said}</span>
      {a.reasoning && (
        <details class="small" open={!a.pieces.length && isOpen(a)}>
          <summary>Reasoning</summary><p class="play-reasoning">{a.reasoning}</p>
        </details>
      )}
      {a.state === 'waiting' && <div class="waiting" aria-hidden="true"><span /><span /><span /></div>}
      {a.pieces.length > 0 && <Text pieces={a.pieces} coloured={coloured} writing={a.state === 'writing'} />}
      {a.calls.length > 0 && <Calls side={side} answer={a} open={last && a.state === 'done'} />}
      {a.error && <p class="reason" role="alert"><Icon name="warn" /> {a.error}</p>}
      <Numbers answer={a} />
      {last && !isOpen(a) && (
        <div class="play-acts">
          <Button icon="retry" kind="quiet" onClick={() => retry(side)}>Again</Button>
          {textOf(a) && <Copy text={textOf(a)} />}
        </div>
      )}
    </div>
  )
}

export function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false)
  if (!navigator.clipboard) return null
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => {})
    setDone(true)
    setTimeout(() => setDone(false), 1500)
  }
  return <Button icon={done ? 'check' : 'documents'} kind="quiet" onClick={copy}>{done ? 'Copied' : 'Copy'}</Button>
}

// ---- the numbers under it

function Numbers({ answer: a }: { answer: Answer }) {
  const speed = rate(a.tokens, a.at.first, a.at.end ?? Date.now())
  return (
    <p class="meta small num">
      {a.tokens > 0 && <span>{count(a.tokens, 'token')}</span>}
      {speed !== null && <span>{speed.toFixed(speed < 9.95 ? 1 : 0)} tokens/s</span>}
      {a.at.first !== undefined && <span title="Time to the first token">first after {duration(a.at.first - a.at.start)}</span>}
      {a.promptTokens !== null && (
        <span>prompt {a.promptTokens.toLocaleString('en')}{a.cachedTokens > 0 && `, ${a.cachedTokens.toLocaleString('en')} known`}</span>
      )}
      {a.finish === 'length' && <span>cut: most tokens</span>}
      {a.state === 'stopped' && <span>stopped</span>}
      {a.run && <a href={href('run', { id: a.run })}>Run</a>}
    </p>
  )
}

// ---- the text, token by token

interface Place { at: number; left: number; top: number }

function Text({ pieces, coloured, writing }: { pieces: Piece[]; coloured: boolean; writing: boolean }) {
  const [place, setPlace] = useState<Place | null>(null)
  const box = useRef<HTMLDivElement>(null)
  const known = pieces.some((p) => p.tokens.length)
  const go = (at: number) => {
    const span = box.current?.querySelector<HTMLElement>(`[data-at="${at}"]`)
    if (!span || !box.current) return setPlace(null)
    const frame = box.current.getBoundingClientRect()
    const r = [...span.getClientRects()].at(-1) ?? span.getBoundingClientRect()
    const width = Math.min(CARD, frame.width)
    setPlace({ at, left: Math.max(0, Math.min(r.left - frame.left, frame.width - width)), top: r.bottom - frame.top + 5 })
  }
  const under = (e: Event) => {
    const at = (e.target as Element).closest('[data-at]')?.getAttribute('data-at')
    if (at) go(Number(at))
  }
  const onKey = (e: KeyboardEvent) => {
    const step = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0
    if (e.key === 'Escape') setPlace(null)
    if (!step) return
    e.preventDefault()
    let at = place ? place.at + step : step > 0 ? 0 : pieces.length - 1
    while (pieces[at] && !pieces[at]!.tokens.length) at += step
    if (pieces[at]) go(at)
  }
  const chosen = place && pieces[place.at]
  if (!known) return <div class={`play-text ${writing ? 'writing' : ''}`}>{pieces.map((p) => p.text).join('')}</div>
  return (
    <div ref={box} class={`play-text ${coloured ? 'coloured' : ''} ${writing ? 'writing' : ''}`}
      tabIndex={0} role="group" aria-label="Answer; the arrow keys go through its tokens"
      onPointerOver={(e) => e.pointerType === 'mouse' && under(e)} onClick={under}
      onPointerLeave={(e) => e.pointerType === 'mouse' && setPlace(null)} onBlur={() => setPlace(null)}
      onKeyDown={onKey}>
      {pieces.map((p, i) => p.tokens.length
        ? <span key={i} data-at={i} class={`p${shade(probability(p.tokens))} ${place?.at === i ? 'on' : ''}`}>{p.text}</span>
        : p.text)}
      {chosen && chosen.tokens.length > 0 && (
        <div class="token-card" role="status" style={{ left: `${place.left}px`, top: `${place.top}px` }}>
          {chosen.tokens.map((t, i) => <TokenView key={i} token={t} />)}
        </div>
      )}
    </div>
  )
}

const CARD = 240 // pixels, as the style has it

function TokenView({ token: t }: { token: Token }) {
  return (
    <div>
      <p><code>{shown(t.text)}</code> <strong class="num">{percent(Math.exp(t.logprob))}</strong></p>
      <ul>
        {t.top.map((o, i) => (
          <li key={i} class={o.text === t.text ? 'on' : ''}>
            <code>{shown(o.text)}</code>
            <span class="bar" aria-hidden="true"><span style={{ width: `${Math.exp(o.logprob) * 100}%` }} /></span>
            <span class="num">{percent(Math.exp(o.logprob))}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}

// ---- tool calls

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    return json // not whole yet
  }
}

function Calls({ side, answer: a, open }: { side: number; answer: Answer; open: boolean }) {
  const [results, setResults] = useState<string[]>([])
  const send = () => giveResults(side, a.calls.map((c, i) => ({ id: c.id, content: results[i] ?? '' })))
  return (
    <form class="calls" onSubmit={(e) => { e.preventDefault(); send() }}>
      {a.calls.map((c, i) => (
        <div key={i} class="call">
          <strong>{c.name}</strong>
          <pre>{pretty(c.arguments)}</pre>
          {open && (
            <label class="field"><span>What it returns</span>
              <textarea rows={2} value={results[i] ?? ''} spellcheck={false} onInput={(e) => {
                const next = [...results]
                next[i] = e.currentTarget.value
                setResults(next)
              }} />
            </label>
          )}
        </div>
      ))}
      {open && <Button icon="send" type="submit">Continue with {a.calls.length > 1 ? 'these results' : 'this result'}</Button>}
    </form>
  )
}
