// Any JSON value, readable: what is short stands in a line, what is long is folded.
import { count } from './format'

const LONG = 280

export function ValueView({ title, value }: { title: string; value: unknown }) {
  return (
    <details class="value" open>
      <summary>{title}</summary>
      <div class="value-body"><Value v={value} depth={0} /></div>
    </details>
  )
}

function Value({ v, depth }: { v: unknown; depth: number }) {
  if (typeof v === 'string') return <Words text={v} />
  if (v === null || typeof v !== 'object') return <span class="lit">{String(v)}</span>
  const entries = Object.entries(v)
  if (!entries.length) return <span class="lit">{Array.isArray(v) ? '[]' : '{}'}</span>
  const flat = JSON.stringify(v)
  if (flat.length < 90) return <code>{flat}</code>
  const body = (
    <dl class="tree">
      {entries.map(([k, item]) => (
        <div key={k}><dt>{k}</dt><dd><Value v={item} depth={depth + 1} /></dd></div>
      ))}
    </dl>
  )
  if (depth < 1 && entries.length <= 20) return body
  return (
    <details>
      <summary class="dim">{Array.isArray(v) ? count(entries.length, 'item')
        : brief(entries)}</summary>
      {body}
    </details>
  )
}

/** The plain members of an object, as far as a line holds them. */
function brief(entries: [string, unknown][]): string {
  const line = entries.filter(([, v]) => typeof v !== 'object')
    .map(([k, v]) => `${k}: ${String(v).slice(0, 60)}`).join(', ')
  return line.length > 110 ? `${line.slice(0, 110)}…` : line || count(entries.length, 'member')
}

function Words({ text }: { text: string }) {
  if (text.length <= LONG) return <span class="words">{text}</span>
  return (
    <details>
      <summary><span class="words">{text.slice(0, 160)}…</span>{' '}
        <span class="dim">({count(text.length, 'character')})</span></summary>
      <pre tabIndex={0}>{text}</pre>
    </details>
  )
}
