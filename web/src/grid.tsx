// A table of any length: only the rows in view are there. Columns sort, rows are chosen; the arrow
// keys go up and down, and the space bar chooses.
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Icon } from './ui'

export interface Column<T> {
  id: string
  title: string
  /** Below the title: where it is from. */
  sub?: string
  number?: boolean
  width?: number
  cell: (row: T) => ComponentChildren
  /** Shown in full where the cell is cut. */
  text?: (row: T) => string
  sortable?: boolean
}
export interface Sort { id: string; down: boolean }

export interface GridProps<T> {
  label: string
  columns: Column<T>[]
  rows: T[]
  id: (row: T) => string
  sort?: Sort | null
  onSort?: (sort: Sort | null) => void
  chosen?: ReadonlySet<string>
  onChoose?: (id: string, on: boolean) => void
  /** Of all rows, where only some are loaded. */
  total?: number
  onMore?: () => void
  rowClass?: (row: T) => string
  /** Rows that cannot be chosen, for instance heads of groups. */
  plain?: (row: T) => boolean
  stale?: boolean
}

const ROW = 38
const AROUND = 12

export function Grid<T>(g: GridProps<T>) {
  const frame = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [tall, setTall] = useState(600)
  const [, setAsked] = useState(0)
  const want = useRef<{ row: number; part: string } | null>(null)
  const first = Math.max(0, Math.floor(top / ROW) - AROUND)
  const last = Math.min(g.rows.length, Math.ceil((top + tall) / ROW) + AROUND)
  useLayoutEffect(() => {
    const f = frame.current!
    const look = () => setTall(f.clientHeight)
    const watch = new ResizeObserver(look)
    watch.observe(f)
    return () => watch.disconnect()
  }, [])
  useLayoutEffect(() => {
    if (last >= g.rows.length - 5 && g.onMore) g.onMore()
  }, [last, g.rows.length])
  useLayoutEffect(() => {
    if (!want.current) return
    const el = frame.current!.querySelector<HTMLElement>(`tr[data-row="${want.current.row}"] ${want.current.part}`)
    if (!el) return
    want.current = null
    el.focus({ preventScroll: true })
  })
  const onKey = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[e.key]
    const tr = (e.target as HTMLElement).closest<HTMLElement>('tr[data-row]')
    if (!step || !tr || e.ctrlKey || e.metaKey || e.altKey) return
    e.preventDefault()
    const to = Math.max(0, Math.min(g.rows.length - 1, Number(tr.dataset.row) + step))
    want.current = { row: to, part: (e.target as HTMLElement).tagName === 'INPUT' ? 'input' : 'a, button' }
    const f = frame.current!
    const y = to * ROW
    const head = f.querySelector('thead')!.clientHeight
    if (y < f.scrollTop) f.scrollTop = y
    else if (y + ROW + head > f.scrollTop + f.clientHeight) f.scrollTop = y + ROW + head - f.clientHeight
    setTop(f.scrollTop)
    setAsked((n) => n + 1) // also when nothing scrolled
  }
  const turn = (id: string) => {
    const s = g.sort
    g.onSort?.(s?.id !== id ? { id, down: true } : s.down ? { id, down: false } : null)
  }
  return (
    <div class={`grid-frame ${g.stale ? 'stale' : ''}`} ref={frame} tabIndex={-1} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
      <table class="grid" aria-label={g.label} aria-rowcount={(g.total ?? g.rows.length) + 1} onKeyDown={onKey}>
        <thead>
          <tr>
            {g.onChoose && <th class="choose"><span class="sr">Chosen</span></th>}
            {g.columns.map((c) => {
              const on = g.sort?.id === c.id ? g.sort : null
              const inside = <><span class="grid-title">{c.title}</span>{c.sub && <span class="grid-sub">{c.sub}</span>}</>
              return (
                <th key={c.id} scope="col" class={c.number ? 'n' : ''} title={c.id} style={{ minWidth: `${c.width ?? 120}px`, maxWidth: `${c.width ?? 120}px` }}
                  aria-sort={on ? (on.down ? 'descending' : 'ascending') : undefined}>
                  {c.sortable && g.onSort ? (
                    <button type="button" onClick={() => turn(c.id)}>{inside}
                      {on && <span class={`sort ${on.down ? '' : 'up'}`}><Icon name="down" /></span>}
                    </button>
                  ) : <span class="grid-head">{inside}</span>}
                </th>
              )
            })}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr style={{ height: `${first * ROW}px` }} aria-hidden="true" />}
          {g.rows.slice(first, last).map((row, k) => {
            const id = g.id(row)
            const at = first + k
            const on = !!g.chosen?.has(id)
            return (
              <tr key={id} data-row={at} aria-rowindex={at + 2} class={`${on ? 'on' : ''} ${g.rowClass?.(row) ?? ''}`}>
                {g.onChoose && (
                  <td class="choose">{!g.plain?.(row) && (
                    <label><input type="checkbox" checked={on} aria-label={`Choose row ${at + 1}`}
                      onChange={() => g.onChoose!(id, !on)} /></label>
                  )}</td>
                )}
                {g.columns.map((c) => (
                  <td key={c.id} class={c.number ? 'n' : ''} title={c.text?.(row)}>{c.cell(row)}</td>
                ))}
              </tr>
            )
          })}
          {last < g.rows.length && <tr style={{ height: `${(g.rows.length - last) * ROW}px` }} aria-hidden="true" />}
        </tbody>
      </table>
    </div>
  )
}
