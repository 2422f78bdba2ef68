// What changed between two texts, side by side; one below the other where the window is narrow.
import { useMemo, useState } from 'preact/hooks'
import { count } from './format'
import { folded, sideBySide, type Row, type Side } from './sides'
import { Button, Note } from './ui'

export function TextDiff({ before, after, names }: {
  before: string; after: string; names: [string, string]
}) {
  const rows = useMemo(() => sideBySide(before, after), [before, after])
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set())
  if (!rows) return <Note>These texts are too long to be compared here.</Note>
  if (rows.every((r) => r.kind === 'same')) return <p class="dim small">Both are the same.</p>
  return (
    <div class="diff" role="table" aria-label={`${names[0]} and ${names[1]}`}>
      <div class="diff-row diff-head" role="row">
        <span role="columnheader">{names[0]}</span><span role="columnheader">{names[1]}</span>
      </div>
      {folded(rows).map((r, i) => {
        if (!('fold' in r)) return <DiffRow key={i} row={r} />
        if (open.has(i)) return r.fold.map((f, j) => <DiffRow key={`${i}.${j}`} row={f} />)
        return (
          <div key={i} class="diff-fold">
            <Button kind="quiet" onClick={() => setOpen(new Set([...open, i]))}>
              {count(r.fold.length, 'equal line')}
            </Button>
          </div>
        )
      })}
    </div>
  )
}

const signs = { same: '', changed: '', added: '+', removed: '−' }

function DiffRow({ row }: { row: Row }) {
  return (
    <div class={`diff-row ${row.kind}`} role="row">
      <Half side={row.left} sign={row.kind === 'changed' ? '−' : signs[row.kind]} class="left" />
      <Half side={row.right} sign={row.kind === 'changed' ? '+' : signs[row.kind]} class="right" />
    </div>
  )
}

function Half({ side, sign, class: which }: { side: Side | null; sign: string; class: string }) {
  if (!side) return <span class={`diff-half ${which} none`} role="cell" />
  return (
    <span class={`diff-half ${which}`} role="cell">
      <span class="diff-n num">{side.n}</span>
      <span class="diff-sign">{sign}</span>
      <code>{side.pieces.map((p, i) => (p.changed ? <b key={i}>{p.text}</b> : p.text))}</code>
    </span>
  )
}
