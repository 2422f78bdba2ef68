// One experiment: its runs as a table, as curves, and as parallel coordinates. Everything that is
// chosen stands in the address.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, call } from '../api'
import type { Axis } from '../axes'
import { aggregate, columnsOf, grouped, isColumn, kinds, means, split, term, usual, valueOf, type ColumnId, type Group, type Mean } from '../columns'
import { Curves } from '../curves'
import { duration, fullTime, when } from '../format'
import { Grid, type Column, type Sort } from '../grid'
import { Parallel } from '../parallel'
import { href, navigate, usePlace, withQuery } from '../router'
import { figure } from '../series'
import type { TrackedRun } from '../types'
import { Button, Choice, Dialog, Empty, Failure, Icon, PageHead, useEvery, useLoad } from '../ui'
import { HowToBegin } from './experiments'

type Put = (changes: Record<string, string | null>) => void

const views = [['table', 'Table'], ['curves', 'Curves'], ['parallel', 'Parallel']] as const
const PAGE = 200
const MANY = 1000 // what grouping and parallel coordinates look at
const CURVES = 10 // drawn when none is chosen
const COMPARED = 50

const listOf = (text: string | null): string[] => (text ? text.split(',').map(decodeURIComponent).filter(Boolean) : [])
const textOf = (list: string[]): string | null => list.map(encodeURIComponent).join(',') || null

export function ExperimentPage({ experiment }: { experiment: string }) {
  const { query } = usePlace()
  const put: Put = (changes) => navigate(withQuery(changes), { replace: true })
  const view = views.find(([v]) => v === query.get('view'))?.[0] ?? 'table'
  const filter = query.get('filter') ?? ''
  const by = isColumn(query.get('group') ?? '') ? query.get('group')! : ''
  const [sortId, sortWay] = (query.get('sort') ?? '').split(/ (?=asc$|desc$)/)
  const sort: Sort | null = sortId && isColumn(sortId) ? { id: sortId, down: sortWay !== 'asc' } : null
  const many = by !== '' || view === 'parallel'
  const [pages, setPages] = useState(1)
  const head = useLoad((signal) => call('GET /api/v1/experiments/{id}', { params: { id: experiment }, signal }), [experiment])
  const limit = many ? MANY : Math.min(MANY, PAGE * pages)
  const list = useLoad((signal) => call('GET /api/v1/experiments/{id}/runs', { params: { id: experiment }, signal,
    query: { filter, limit, order_by: sort ? `${term(sort.id)} ${sort.down ? 'DESC' : 'ASC'}` : undefined } }),
  [experiment, filter, query.get('sort'), limit])
  useEvery(many ? 20_000 : 5000, list.reload, !list.error)
  const runs = list.data?.runs ?? null
  const chosenIds = useMemo(() => new Set(listOf(query.get('runs'))), [query.get('runs')])
  const choose = (id: string, on: boolean) => {
    const next = new Set(chosenIds)
    if (on) next.add(id)
    else next.delete(id)
    put({ runs: textOf([...next]) })
  }
  const cols = useMemo(() => {
    const asked = listOf(query.get('cols')).filter(isColumn)
    return asked.length ? asked : runs ? usual(runs) : []
  }, [query.get('cols'), runs === null, experiment])
  const [choosing, setChoosing] = useState(false)
  if (head.error && !head.data)
    return <><Crumb /><PageHead title="Experiment" /><Failure error={head.error} retry={head.reload} /></>
  const chosen = runs?.filter((r) => chosenIds.has(r.id)) ?? []
  const empty = runs !== null && !runs.length && !filter
  return (
    <>
      <Crumb />
      <PageHead title={head.data?.name ?? '…'} sub={list.data && !list.error && `${list.data.total.toLocaleString('en')} ${list.data.total === 1 ? 'run' : 'runs'}${filter ? ' fit' : ''}`}>
        {chosenIds.size > 1 && (
          <a class="button main" href={href('compare', { experiment }, { ids: [...chosenIds].slice(0, COMPARED).join(',') })}>
            <Icon name="swap" /> Compare {chosenIds.size}
          </a>
        )}
        {chosenIds.size > 0 && <Button onClick={() => put({ runs: null })}>Choose none</Button>}
      </PageHead>
      <Filter key={experiment} filter={filter} error={list.error} put={put} />
      <div class="toolbar">
        <Choice label="View" value={view} options={views} onChange={(v) => put({ view: v === 'table' ? null : v })} />
        {view !== 'curves' && <Button icon="columns" onClick={() => setChoosing(true)}>Columns</Button>}
        {view === 'table' && runs && <GroupBy by={by} runs={runs} query={query} put={put} />}
      </div>
      {list.error && !(filter && list.error instanceof ApiError && list.error.status === 400) && <Failure error={list.error} retry={list.reload} />}
      {empty && <><Empty title="No runs yet" /><HowToBegin /></>}
      {runs && !runs.length && filter && !list.error && <Empty title="No run fits the filter" />}
      {runs && runs.length > 0 && view === 'table' && (by ? (
        <Groups runs={runs} total={list.data!.total} by={by} cols={cols} how={(query.get('mean') ?? 'mean') as Mean}
          experiment={experiment} chosen={chosenIds} choose={choose} />
      ) : (
        <Grid label="Runs" rows={runs} id={(r) => r.id} columns={runColumns(cols, experiment)} sort={sort} stale={!!list.error}
          onSort={(s) => put({ sort: s && `${s.id} ${s.down ? 'desc' : 'asc'}` })} chosen={chosenIds} onChoose={choose}
          total={list.data!.total} onMore={list.data!.next && limit < MANY && !list.loading ? () => setPages(pages + 1) : undefined} />
      ))}
      {runs && view === 'table' && list.data!.next && limit >= MANY && (
        <p class="dim small">The first {MANY.toLocaleString('en')} are shown; a filter or another order brings the others.</p>
      )}
      {runs && runs.length > 0 && view === 'curves' && (
        <CurvesOf runs={chosen.length ? chosen : runs.slice(0, CURVES)} chosen={chosen.length > 0} put={put} />
      )}
      {runs && runs.length > 0 && view === 'parallel' && (
        <ParallelOf runs={chosen.length > 1 ? chosen : runs} cols={cols} put={put} />
      )}
      {choosing && runs && <ColumnDialog runs={runs} cols={cols} put={put} onClose={() => setChoosing(false)} />}
    </>
  )
}

const Crumb = () => <p class="crumb"><a href={href('experiments')}>Experiments</a></p>

// ---- the filter

function Filter({ filter, error, put }: { filter: string; error: Error | null; put: Put }) {
  const [text, setText] = useState(filter)
  useEffect(() => setText(filter), [filter])
  const wrong = error instanceof ApiError && error.status === 400 ? error : null
  const at = wrong && /\(column (\d+)\)/.exec(wrong.message)
  const column = at ? Number(at[1]) - 1 : -1
  return (
    <form class="filter" onSubmit={(e) => { e.preventDefault(); put({ filter: text.trim() || null }) }}>
      <div class="filter-row">
        <input type="search" value={text} spellcheck={false} aria-label="Filter" aria-invalid={wrong ? true : undefined}
          aria-describedby={wrong ? 'filter-error' : undefined}
          placeholder="metrics.loss < 0.5 AND params.optimizer = 'adam'"
          onInput={(e) => {
            setText(e.currentTarget.value)
            if (!e.currentTarget.value && filter) put({ filter: null })
          }} />
        <Button icon="filter" type="submit">Filter</Button>
      </div>
      {wrong && filter && (
        <div id="filter-error" class="filter-error" role="alert">
          {column >= 0 && column <= filter.length && (
            <code aria-hidden="true">{filter.slice(0, column)}<mark>{filter.slice(column) || ' '}</mark></code>
          )}
          <span class="reason">{wrong.message}</span>
        </div>
      )}
    </form>
  )
}

// ---- the table

export function RunName({ r, experiment }: { r: TrackedRun; experiment: string }) {
  return <a class="run-name" href={href('experimentRun', { experiment, id: r.id })}>{r.name || r.id.slice(0, 8)}</a>
}

const cellText = (r: TrackedRun, id: ColumnId): string => {
  const v = valueOf(r, id)
  if (v === null) return ''
  if (id === 'attributes.started') return fullTime(String(v))
  if (id === 'attributes.duration') return duration(Number(v))
  return typeof v === 'number' ? figure(v) : v
}

function Cell({ r, id }: { r: TrackedRun; id: ColumnId }) {
  if (id === 'attributes.status') return <TrackState status={r.status} />
  if (id === 'attributes.started') return <>{when(r.started)}</>
  return <>{cellText(r, id)}</>
}

export function TrackState({ status }: { status: string }) {
  const word = { ok: 'done', error: 'failed' }[status] ?? status
  return <span class={`state ${status}`}><span class="dot" aria-hidden="true" />{word}</span>
}

const isNumber = (id: ColumnId) => split(id).kind === 'metrics' || id === 'attributes.duration'

function runColumns(cols: ColumnId[], experiment: string): Column<TrackedRun>[] {
  return [
    { id: 'name', title: 'Run', width: 170, cell: (r) => <RunName r={r} experiment={experiment} />, text: (r) => r.name },
    ...cols.map((id): Column<TrackedRun> => {
      const { kind, key } = split(id)
      return {
        id, title: key, sub: kind === 'attributes' ? undefined : kind.replace(/s$/, ''), number: isNumber(id), sortable: true,
        width: kind === 'attributes' ? 116 : 124,
        cell: (r) => <Cell r={r} id={id} />, text: (r) => cellText(r, id),
      }
    }),
  ]
}

// ---- groups

function GroupBy({ by, runs, query, put }: { by: ColumnId; runs: TrackedRun[]; query: URLSearchParams; put: Put }) {
  const found = [...columnsOf(runs).keys()].filter((id) => ['params', 'tags'].includes(split(id).kind) || id === 'attributes.user' || id === 'attributes.status')
    .filter((id) => !id.startsWith('tags.mlflow.'))
  return (
    <>
      <select aria-label="Group by" value={by} onChange={(e) => put({ group: e.currentTarget.value || null })}>
        <option value="">No groups</option>
        {[...new Set([...found, ...(by ? [by] : [])])].map((id) => <option key={id} value={id}>by {id.replace(/^attributes\./, '')}</option>)}
      </select>
      {by && (
        <select aria-label="Aggregate" value={query.get('mean') ?? 'mean'} onChange={(e) => put({ mean: e.currentTarget.value === 'mean' ? null : e.currentTarget.value })}>
          {means.map((m) => <option key={m}>{m}</option>)}
        </select>
      )}
    </>
  )
}

type GroupRow = { group: Group; open: boolean } | { run: TrackedRun }

function Groups({ runs, total, by, cols, how, experiment, chosen, choose }: {
  runs: TrackedRun[]; total: number; by: ColumnId; cols: ColumnId[]; how: Mean; experiment: string
  chosen: ReadonlySet<string>; choose: (id: string, on: boolean) => void
}) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set())
  const groups = useMemo(() => grouped(runs, by), [runs, by])
  const key = (g: Group) => String(g.value)
  const rows = groups.flatMap((g): GroupRow[] => {
    const isOpen = open.has(key(g))
    return [{ group: g, open: isOpen }, ...(isOpen ? g.runs.map((run) => ({ run })) : [])]
  })
  const flip = (g: Group) => {
    const next = new Set(open)
    if (!next.delete(key(g))) next.add(key(g))
    setOpen(next)
  }
  const columns: Column<GroupRow>[] = [
    { id: by, title: split(by).key, sub: 'group', width: 210, cell: (row) => 'run' in row ? <RunName r={row.run} experiment={experiment} /> : (
      <button type="button" class="group-head" aria-expanded={row.open} onClick={() => flip(row.group)}>
        <Icon name={row.open ? 'down' : 'right'} /><span>{row.group.value ?? 'none'}</span>
        <span class="dim num">{row.group.runs.length}</span>
      </button>
    ) },
    ...cols.filter((id) => id !== by).map((id): Column<GroupRow> => {
      const { kind, key: title } = split(id)
      return {
        id, title, sub: kind === 'attributes' ? undefined : kind.replace(/s$/, ''), number: isNumber(id), width: kind === 'metrics' ? 168 : 124,
        cell: (row) => 'run' in row ? <Cell r={row.run} id={id} /> : <Together runs={row.group.runs} id={id} how={how} />,
      }
    }),
  ]
  return (
    <>
      <Grid label={`Runs by ${by}`} rows={rows} id={(r) => ('run' in r ? r.run.id : `group ${key(r.group)}`)} columns={columns}
        rowClass={(r) => ('run' in r ? 'member' : 'group')} plain={(r) => 'group' in r} chosen={chosen} onChoose={choose} />
      {total > runs.length && <p class="dim small">Groups of the first {runs.length.toLocaleString('en')} of {total.toLocaleString('en')} runs; a filter narrows them down.</p>}
    </>
  )
}

function Together({ runs, id, how }: { runs: TrackedRun[]; id: ColumnId; how: Mean }) {
  if (split(id).kind === 'metrics' || id === 'attributes.duration') {
    const a = aggregate(runs, id, how)
    if (!a) return null
    const say = id === 'attributes.duration' ? duration : figure
    return <>{say(a.value)}{a.spread !== null && <span class="dim"> ± {say(+a.spread.toPrecision(2))}</span>}</>
  }
  if (id === 'attributes.started') return <>{when(runs.map((r) => r.started ?? '').sort().pop() ?? null)}</>
  const values = new Set(runs.map((r) => cellText(r, id)))
  return values.size === 1 ? <>{[...values][0]}</> : <span class="dim">{values.size} values</span>
}

// ---- which columns

function ColumnDialog({ runs, cols, put, onClose }: { runs: TrackedRun[]; cols: ColumnId[]; put: Put; onClose: () => void }) {
  const [text, setText] = useState('')
  const found = useMemo(() => columnsOf(runs), [runs])
  for (const id of cols) if (!found.has(id)) found.set(id, 0)
  const set = (id: ColumnId, on: boolean) => put({ cols: textOf(on ? [...cols, id] : cols.filter((c) => c !== id)) })
  const fits = [...found].filter(([id]) => id.toLowerCase().includes(text.toLowerCase()))
  return (
    <Dialog title="Columns" onClose={onClose} actions={<>
      <Button onClick={() => put({ cols: null })}>The usual ones</Button>
      <Button kind="main" onClick={onClose}>Done</Button>
    </>}>
      <input type="search" data-first value={text} placeholder="Part of a name" aria-label="Part of a name" onInput={(e) => setText(e.currentTarget.value)} />
      <div class="column-list">
        {kinds.map((kind) => {
          const of = fits.filter(([id]) => split(id).kind === kind).sort(([a], [b]) => (a < b ? -1 : 1))
          if (!of.length) return null
          return (
            <fieldset key={kind}>
              <legend class="small-head">{kind}</legend>
              {of.map(([id, n]) => (
                <label key={id} class="check">
                  <input type="checkbox" checked={cols.includes(id)} onChange={(e) => set(id, e.currentTarget.checked)} />
                  <span class="path">{split(id).key}</span>
                  <span class="dim small num">{n < runs.length ? `${n} of ${runs.length}` : ''}</span>
                </label>
              ))}
            </fieldset>
          )
        })}
        {!fits.length && <p class="dim">Nothing is called so.</p>}
      </div>
    </Dialog>
  )
}

// ---- curves, parallel coordinates

export const metricsOf = (runs: TrackedRun[]): string[] =>
  [...new Set(runs.flatMap((r) => Object.keys(r.metrics)))].sort((a, b) => Number(a.startsWith('system/')) - Number(b.startsWith('system/')) || (a < b ? -1 : 1))

function CurvesOf({ runs, chosen, put }: { runs: TrackedRun[]; chosen: boolean; put: Put }) {
  return (
    <>
      {!chosen && <p class="dim small hint-line">The first {runs.length} of the table. Choose runs there to see theirs.</p>}
      <Curves runs={runs} metrics={metricsOf(runs)} put={put} />
    </>
  )
}

function ParallelOf({ runs, cols, put }: { runs: TrackedRun[]; cols: ColumnId[]; put: Put }) {
  const ids = cols.filter((id) => ['params', 'metrics'].includes(split(id).kind))
  // the last one colours the lines: a metric that most runs have
  const having = (id: ColumnId) => runs.filter((r) => valueOf(r, id) !== null).length
  const order = [...ids.filter((id) => split(id).kind === 'params'),
    ...ids.filter((id) => split(id).kind === 'metrics').sort((a, b) => having(a) - having(b))]
  const axes = useMemo(() => order.map((id): Axis => ({ id, title: split(id).key, values: runs.map((r) => valueOf(r, id)) })), [runs, order.join()])
  if (axes.length < 2) return <Empty title="Two axes or more"><p>Choose parameters and metrics as columns: each becomes an axis.</p></Empty>
  return (
    <>
      <Parallel axes={axes} label="Runs across their parameters and metrics"
        onChoose={(lines) => put({ runs: textOf(lines.map((i) => runs[i]!.id)) })} />
      <p class="dim small">Axes are the chosen columns; the last one colours the lines. Drag along an axis to keep what goes through it.</p>
    </>
  )
}
