// The rows of two files of data: how many came, went and changed, which, and how the columns moved.
import { call } from './api'
import { count } from './format'
import { figure } from './series'
import type { RowsDiff } from './types'
import { Failure, useLoad } from './ui'

export const hasRows = (path: string): boolean => /\.(csv|tsv|tab|jsonl|ndjson)$/i.test(path)

export function Rows({ a, b, path }: { a: string; b: string; path: string }) {
  const { data, error, reload } = useLoad((signal) =>
    call('GET /api/v1/trees/{digest}/rows/{other}', { params: { digest: a, other: b }, query: { path }, signal }), [a, b, path])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return <p class="dim small">Comparing rows …</p>
  const all = data.added + data.removed + data.changed
  return (
    <section class="rows-diff" aria-label={`Rows of ${path}`}>
      <p>
        <b class="num">{data.added.toLocaleString('en')}</b> added, <b class="num">{data.removed.toLocaleString('en')}</b> removed,{' '}
        <b class="num">{data.changed.toLocaleString('en')}</b> changed, {data.same.toLocaleString('en')} the same{' '}
        <span class="dim small">{data.key === null ? 'no key: a row that differs anywhere is another row' : `by ${data.key}`}</span>
      </p>
      {data.cut && <p class="dim small">Only the beginning of the files was compared: they are too large.</p>}
      {data.rows.length > 0 && <List rows={data.rows} more={all - data.rows.length} />}
      <Columns columns={data.columns} />
    </section>
  )
}

function List({ rows, more }: { rows: RowsDiff['rows']; more: number }) {
  const sign = { added: '+', removed: '−', changed: '≠' }
  return (
    <ul class="row-list" tabIndex={0} aria-label="Rows that differ">
      {rows.map((r, i) => (
        <li key={i} class={r.change}><span class="change-sign" aria-label={r.change}>{sign[r.change]}</span> <span class="path">{r.row}</span></li>
      ))}
      {more > 0 && <li class="dim small">and {count(more, 'row')} more</li>}
    </ul>
  )
}

function Columns({ columns }: { columns: RowsDiff['columns'] }) {
  const differ = columns.filter((c) => c.changed || JSON.stringify(c.before) !== JSON.stringify(c.after))
  if (!differ.length) return null
  const both = <T,>(x: T, y: T, say: (v: T) => string) => (x === y ? say(x) : `${say(x)} → ${say(y)}`)
  const number = (v: number | null) => (v === null ? '–' : figure(v))
  return (
    <div class="table-frame">
      <table class="rows">
        <thead><tr><th>Column</th><th>Type</th><th>Values</th><th>Mean</th><th title="In standard deviations of before">Shift</th><th>Changed</th></tr></thead>
        <tbody>
          {differ.map((c) => (
            <tr key={c.name}>
              <th scope="row">{c.name}</th>
              <td data-name="Type">{both(c.before.type, c.after.type, String)}</td>
              <td data-name="Values" class="num">{both(c.before.values, c.after.values, (v) => v.toLocaleString('en'))}</td>
              <td data-name="Mean" class="num">{both(c.before.mean, c.after.mean, number)}</td>
              <td data-name="Shift" class="num">{c.shift === null ? '–' : `${c.shift > 0 ? '+' : ''}${c.shift.toFixed(2)}`}</td>
              <td data-name="Changed" class="num">{c.changed.toLocaleString('en')}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
