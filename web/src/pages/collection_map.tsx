// The map of a collection: made, drawn, coloured, looked at point by point, selected from.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { call } from '../api'
import { Cloud, pointSize } from '../cloud'
import { contours } from '../contours'
import { count, fullTime, when } from '../format'
import { Selected } from '../map_selected'
import { byCluster, byField, byTraffic, floats, integers, type Colouring, type Rgb } from '../map_colours'
import { enclosedIn, Flat, flat, Orbit, under, type Camera } from '../orbit'
import { filterOf, PartPicker, said, WHOLE, type Part } from '../part'
import { fitted, Places } from '../places'
import { useTheme } from '../theming'
import type { Collection, CollectionMap, CollectionMapState } from '../types'
import { Button, Choice, Empty, Failure, Note, Progress, useEvery, useLoad, useSettled } from '../ui'

type Id = number | string
const LABELS = 30, HELD = 12, FOUND = 30, REST = 150
const TRAFFIC = '\0traffic' // no field has that name
type Options = { method?: 'umap' | 'pca'; dims?: number; mode?: 'new' | 'align' | 'extend'; filter?: Record<string, unknown> }
const MAP = '/api/v1/collections/{name}/map' as const

/** The map and what is being made of it; asked again while one is made. */
export function MapTab({ k }: { k: Collection }) {
  const [state, setState] = useState<CollectionMapState | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)
  const params = { name: k.name }
  const running = state?.state === 'running'
  // only the points of a finished map are worth their bytes
  const load = async (data: boolean): Promise<void> => {
    try {
      let s = await call(`GET ${MAP}`, { params, query: { data } })
      if (!data && s.state !== 'running') s = await call(`GET ${MAP}`, { params })
      setState((old) => (s.map && !s.map.data && old?.map?.data ? { ...s, map: { ...s.map, data: old.map.data } } : s))
      setError(null)
    } catch (e) {
      setError(e as Error)
    }
  }
  useEffect(() => void load(true), [k.name])
  useEvery(500, () => void load(false), running)
  const act = async (fn: () => Promise<unknown>) => {
    setBusy(true)
    await fn().then(() => load(false), setError)
    setBusy(false)
  }
  const begin = (body: Options) =>
    act(() => call(`POST ${MAP}`, { params, body }))
  const at = state?.progress, map = state?.map
  return (
    <div class="map-tab">
      {error && <Failure error={error} retry={() => void load(true)} />}
      {state?.state === 'failed' && <Note kind="warn" title="The last map was not finished.">{state.error}</Note>}
      {running && at && (
        <div class="map-making" role="status">
          <span class="small">Making a map: {at.what}{at.total > 0 && ` ${Math.floor((100 * at.done) / at.total)} %`}</span>
          <Progress value={at.total ? at.done / at.total : null} label="Making a map" />
          <Button icon="stop" kind="quiet" onClick={() => void act(() => call(`DELETE ${MAP}`, { params }))}>Stop</Button>
        </div>
      )}
      {state && !map && !running && (
        <Empty title="No map yet">
          <p>Each item becomes a point; items that are near to each other lie together.</p>
          <p><Button kind="main" icon="chart" disabled={busy} onClick={() => void begin({})}>Make a map</Button></p>
        </Empty>
      )}
      {map && <About map={map} busy={busy || running} begin={begin} />}
      {map?.data && <Picture key={map.made} k={k} map={map} />}
    </div>
  )
}

function About({ map, busy, begin }: { map: CollectionMap; busy: boolean; begin: (o: Options) => void }) {
  const umap = map.method === 'umap', { dims, method } = map
  const [picking, setPicking] = useState(false), [part, setPart] = useState<Part>(WHOLE)
  const filter = map.filter ?? undefined, picked = filterOf(part)
  return (
    <div class="toolbar map-about">
      <span class="dim small">
        {count(map.points, 'item')}{map.filter && ` where ${said(map.filter)}`}, {count(map.clusters.length, 'cluster')}, made{' '}
        <span title={fullTime(map.made)}>{when(map.made)}</span>
        {map.behind > 0 && <strong>, {count(map.behind, 'change')} ago</strong>}
      </span>
      {umap && map.behind > 0 && (
        <Button kind="quiet" icon="retry" disabled={busy} onClick={() => begin({ mode: 'extend', filter })}
          title="What is there stays where it is">Add what is new</Button>
      )}
      <Button kind="quiet" icon="retry" disabled={busy} onClick={() => begin({ ...(umap ? { mode: 'align' } : { method: 'pca', dims }), filter })}
        title={umap ? 'Begins at the present places, so that it looks alike' : undefined}>Make it again</Button>
      <Button kind="quiet" icon="swap" disabled={busy} onClick={() => begin({ method: umap ? 'pca' : 'umap', dims, filter })}>
        {umap ? 'Principal components' : 'Keep neighbours together'}
      </Button>
      <Button kind="quiet" icon="swap" disabled={busy} onClick={() => begin({ method, dims: dims === 3 ? 2 : 3, filter })}>
        {dims === 3 ? 'In the plane' : 'In space'}
      </Button>
      {!picking && <Button kind="quiet" icon="filter" disabled={busy} onClick={() => setPicking(true)}>A part</Button>}
      {!picking && map.filter && <Button kind="quiet" disabled={busy} onClick={() => begin({ method, dims })}>All items</Button>}
      {picking && (
        <form class="part-form" onSubmit={(e) => { e.preventDefault(); setPicking(false); begin({ method, dims, filter: picked }) }}>
          <PartPicker fields={map.fields} part={part} onChange={setPart} />
          <Button type="submit" disabled={busy || !picked}>Map these</Button>
          <Button kind="quiet" icon="close" label="Not a part" onClick={() => setPicking(false)} />
        </form>
      )}
    </div>
  )
}

// ---- the picture

function Picture({ k, map }: { k: Collection; map: CollectionMap }) {
  const dark = useTheme() === 'dark'
  const ids = map.data!.ids as Id[]
  const xy = useMemo(() => floats(map.data!.xy), [map])
  const cluster = useMemo(() => integers(map.data!.cluster), [map])
  const [by, setBy] = useState('')
  const [tool, setTool] = useState<'move' | 'lasso'>('move')
  const [only, setOnly] = useState<number | null>(null)
  const [selected, setSelected] = useState<Uint32Array | null>(null)
  const [lines, setLines] = useState(false)
  const [found, setFound] = useState<number[] | null>(null)
  const params = { name: k.name }
  const { data: field, error, reload } = useLoad(async (signal) => (by && by !== TRAFFIC
    ? call('GET /api/v1/collections/{name}/map/field', { params, query: { name: by }, signal })
    : null), [k.name, by, map.made])
  const { data: traffic, error: uncounted, reload: recount } = useLoad(async (signal) => (by === TRAFFIC
    ? call('GET /api/v1/collections/{name}/map/traffic', { params, signal }) : null), [k.name, by, map.made])
  const colouring = useMemo((): Colouring => (by === TRAFFIC && traffic ? byTraffic(traffic, dark)
    : by && by !== TRAFFIC && field ? byField(field, dark)
      : byCluster(cluster, map.clusters, map.noise, dark)), [by, field, traffic, dark, map])
  const mark = useMark(k, map)
  // of a million points only when somebody asks where hits are
  const places = useRef<{ of: CollectionMap; at: Map<string, number> } | null>(null)
  const placeOf = (id: Id): number => {
    if (places.current?.of !== map) places.current = { of: map, at: new Map(ids.map((d, i) => [String(d), i])) }
    return places.current.at.get(String(id)) ?? -1
  }
  useEffect(() => setOnly(null), [by])
  return (
    <>
      <div class="toolbar">
        <Choice label="Pointer" value={tool} options={[['move', 'Move'], ['lasso', 'Select']]} onChange={setTool} />
        <label class="small dim map-by">Colour{' '}
          <select value={by} onChange={(e) => setBy(e.currentTarget.value)}>
            <option value="">Cluster</option>
            <option value={TRAFFIC}>How often found</option>
            {map.fields.map((f) => <option key={f} value={f}>{f}</option>)}
          </select>
        </label>
        {map.dims === 2 && (
          <label class="small dim map-by"><input type="checkbox" checked={lines} onChange={(e) => setLines(e.currentTarget.checked)} /> Density</label>
        )}
        <Mark map={map} mark={mark} />
        <Find k={k} map={map} onFound={(list) => setFound(list && list.map(placeOf))} />
      </div>
      {(error ?? uncounted ?? mark.error) && (
        <Failure error={(error ?? uncounted ?? mark.error)!} retry={() => { reload(); recount(); mark.reload() }} />
      )}
      {by === TRAFFIC && traffic && (
        <p class="small dim" role="status">{count(traffic.total, 'hit')} of {count(traffic.items, 'item')}, counted since searches began</p>
      )}
      {found && <p class="small dim" role="status">{count(found.filter((i) => i >= 0).length, 'hit')} on the map</p>}
      <div class="map-frame">
        <Canvas k={k} ids={ids} xy={xy} map={map} colouring={colouring} only={only} tool={tool} selected={selected}
          labels={!by && !found} lines={lines && map.dims === 2} marked={mark.marked} found={found} onSelect={setSelected} />
        <Legend colouring={colouring} only={only} onOnly={setOnly} onSelect={(value) => {
          const of = colouring.group
          if (of) setSelected(Uint32Array.from(ids.keys()).filter((i) => of(i) === value))
        }} />
      </div>
      {selected && <Selected key={`${selected.length} ${selected[0]}`} k={k} map={map} ids={Array.from(selected, (i) => ids[i]!)} onClose={() => setSelected(null)} />}
    </>
  )
}

// ---- overlays

/** Points that have a value of a field: failures that somebody tagged, say. */
function useMark(k: Collection, map: CollectionMap) {
  const [field, setField] = useState(''), [value, setValue] = useState('')
  const { data, error, reload } = useLoad(async (signal) => (field
    ? call('GET /api/v1/collections/{name}/map/field', { params: { name: k.name }, query: { name: field }, signal })
    : null), [k.name, field, map.made])
  const values = data?.kind === 'category' ? data.categories : []
  const code = values.findIndex((c) => c.value === value)
  const marked = useMemo(() => {
    if (!data || code < 0) return null
    const of = integers(data.values), found = new Set<number>()
    of.forEach((c, i) => { if (c === code) found.add(i) })
    return found
  }, [data, code])
  return { field, setField: (f: string) => { setField(f); setValue('') }, value, setValue, values, marked, error, reload }
}

function Mark({ map, mark }: { map: CollectionMap; mark: ReturnType<typeof useMark> }) {
  return (
    <label class="small dim map-by">Mark{' '}
      <select value={mark.field} onChange={(e) => mark.setField(e.currentTarget.value)} aria-label="Mark by the field">
        <option value="">nothing</option>
        {map.fields.map((f) => <option key={f} value={f}>{f}</option>)}
      </select>
      {mark.field && (
        <select value={mark.value} onChange={(e) => mark.setValue(e.currentTarget.value)} aria-label="Mark the value">
          <option value="">{mark.values.length ? 'value' : 'has numbers only'}</option>
          {mark.values.map((c) => <option key={c.value} value={c.value}>{c.value} ({c.items.toLocaleString('en')})</option>)}
        </select>
      )}
    </label>
  )
}

/** The hits of a question, in their order. */
function Find({ k, map, onFound }: { k: Collection; map: CollectionMap; onFound: (ids: Id[] | null) => void }) {
  const [text, setText] = useState(''), [error, setError] = useState<Error | null>(null)
  if (!k.spaces.some((s) => s.name === map.space && s.model)) return null // no texts are embedded here
  const find = async () => {
    setError(null)
    if (!text.trim()) return onFound(null)
    await call('POST /api/v1/collections/{name}/search', { params: { name: k.name }, body: { text, space: map.space, k: FOUND } })
      .then((r) => onFound(r.hits.map((h) => h.id)), setError)
  }
  return (
    <form class="map-find" onSubmit={(e) => { e.preventDefault(); void find() }}>
      <input type="search" placeholder="Where are the hits of ..." aria-label="A question whose hits are shown" value={text}
        onInput={(e) => { setText(e.currentTarget.value); if (!e.currentTarget.value) onFound(null) }} />
      {error && <Failure error={error} retry={() => void find()} />}
    </form>
  )
}

const css = ([r, g, b]: Rgb) => `rgb(${r} ${g} ${b})`

function Legend({ colouring: c, only, onOnly, onSelect }: { colouring: Colouring; only: number | null
  onOnly: (v: number | null) => void; onSelect: (v: number) => void }) {
  if (c.range)
    return <div class="map-legend"><div class="map-range" /><div class="map-ends small"><span>{c.range[0]}</span><span>{c.range[1]}</span></div></div>
  return (
    <ul class="map-legend" aria-label="Colours">
      {c.groups.map((g) => (
        <li key={g.value} class={only !== null && only !== g.value ? 'off' : ''}>
          <button type="button" aria-pressed={only === g.value} onClick={() => onOnly(only === g.value ? null : g.value)}
            onDblClick={() => onSelect(g.value)} title="Show these alone; twice: select them">
            <span class="map-dot" style={{ background: css(g.colour) }} />
            <span class="map-name">{g.label}</span><span class="dim n">{g.items.toLocaleString('en')}</span>
          </button>
        </li>
      ))}
    </ul>
  )
}

interface CanvasProps {
  k: Collection; ids: Id[]; xy: Float32Array; map: CollectionMap; colouring: Colouring
  only: number | null; tool: 'move' | 'lasso'; selected: Uint32Array | null; labels: boolean; lines: boolean
  marked: Set<number> | null; found: number[] | null
  onSelect: (s: Uint32Array | null) => void
}

function Canvas(p: CanvasProps) {
  const box = useRef<HTMLDivElement>(null), canvas = useRef<HTMLCanvasElement>(null), over = useRef<HTMLDivElement>(null)
  const level = useRef<SVGGElement>(null)
  const cloud = useRef<Cloud | null>(null), camera = useRef<Camera | null>(null), frame = useRef(0), rest = useRef(0)
  const dims = p.map.dims === 3 ? 3 : 2
  const places = useMemo(() => (dims === 2 ? new Places(p.xy) : null), [p.xy])
  const paths = useMemo(() => (p.lines ? contours(p.xy) : []), [p.xy, p.lines])
  const [point, setPoint] = useState(-1)
  const [line, setLine] = useState<[number, number][] | null>(null)
  const size = () => ({ width: box.current!.clientWidth, height: box.current!.clientHeight })

  const whole = (): Camera => (dims === 3 ? Orbit.round(p.xy, size()) : new Flat(fitted(p.xy, size())))
  const draw = (moving = false) => {
    if (!box.current) return // the page has been left, and a lost context or a late effect asked for this
    const s = size(), v = camera.current ??= whole()
    const began = performance.now()
    clearTimeout(rest.current)
    // where all points take long, the others follow when it stands still
    if (cloud.current?.draw(v, s, devicePixelRatio, moving) === false) rest.current = window.setTimeout(soon, REST)
    box.current!.dataset.slow = String(cloud.current?.slow)
    box.current!.dataset.ms = (performance.now() - began).toFixed(2)
    if (level.current && flat(v)) {
      const [x, y] = v.screen(s, 0, 0)
      level.current.setAttribute('transform', `translate(${x} ${y}) scale(${v.v.scale} ${-v.v.scale})`)
    }
    for (const el of over.current?.querySelectorAll<HTMLElement>('[data-x]') ?? []) {
      const [x, y] = v.screen(s, +el.dataset.x!, +el.dataset.y!, +(el.dataset.z ?? 0))
      el.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`
      el.hidden = x < 0 || y < 0 || x > s.width || y > s.height
    }
  }
  const soon = () => {
    cancelAnimationFrame(frame.current)
    frame.current = requestAnimationFrame(() => draw())
  }
  const moved = () => {
    cancelAnimationFrame(frame.current)
    frame.current = requestAnimationFrame(() => draw(true))
  }
  useEffect(() => {
    const c = new Cloud(canvas.current!, p.xy, dims, soon)
    cloud.current = c
    box.current!.dataset.how = c.how
    const watch = new ResizeObserver(soon)
    watch.observe(box.current!)
    return () => {
      watch.disconnect()
      cancelAnimationFrame(frame.current)
      clearTimeout(rest.current)
      c.free()
      cloud.current = null
    }
  }, [p.xy])
  useEffect(() => {
    const { colour, group } = p.colouring
    const chosen = p.selected ? new Set(p.selected) : p.found && new Set(p.found)
    cloud.current?.paint((i, out, at) => {
      const red = p.marked?.has(i)
      const [r, g, b] = red ? [224, 36, 36] as Rgb : colour(i)
      const faint = (p.marked && !red) || (p.only !== null && group && group(i) !== p.only) || (chosen && !chosen.has(i))
      out[at] = r
      out[at + 1] = g
      out[at + 2] = b
      out[at + 3] = red ? 255 : faint ? 28 : 225
    })
    soon()
  }, [p.xy, p.colouring, p.only, p.selected, p.found, p.marked])
  useEffect(soon, [p.labels, point, p.found, paths])

  const zoom = (factor: number, px?: number, py?: number) => {
    const s = size()
    camera.current = (camera.current ?? whole()).zoomed(s, px ?? s.width / 2, py ?? s.height / 2, factor)
    moved()
  }
  // a wheel that scrolls the page must be stopped, which a passive listener cannot
  useEffect(() => {
    const el = box.current!
    const wheel = (e: WheelEvent) => {
      e.preventDefault()
      const r = el.getBoundingClientRect()
      zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0015)), e.clientX - r.left, e.clientY - r.top)
    }
    el.addEventListener('wheel', wheel, { passive: false })
    return () => el.removeEventListener('wheel', wheel)
  }, [p.xy])

  const fingers = useRef(new Map<number, [number, number]>())
  const spot = (e: PointerEvent): [number, number] => {
    const r = box.current!.getBoundingClientRect()
    return [e.clientX - r.left, e.clientY - r.top]
  }
  const down = (e: PointerEvent) => {
    if (e.button || (e.target as Element).closest('button')) return
    box.current!.setPointerCapture(e.pointerId)
    fingers.current.set(e.pointerId, spot(e))
    setLine(p.tool === 'lasso' && fingers.current.size === 1 ? [spot(e)] : null)
  }
  const move = (e: PointerEvent) => {
    const at = spot(e), from = fingers.current.get(e.pointerId), v = camera.current
    if (!v) return
    if (!from) {
      const near = pointSize(p.ids.length) / 2 + 5
      if (flat(v)) {
        const [x, y] = v.plane(size(), ...at)
        setPoint(places!.nearest(x, y, near / v.v.scale))
      } else setPoint(under(v, size(), p.xy, ...at, near))
      return
    }
    const others = [...fingers.current].filter(([id]) => id !== e.pointerId).map(([, q]) => q)
    fingers.current.set(e.pointerId, at)
    if (others.length) {
      const o = others[0]!, before = Math.hypot(from[0] - o[0], from[1] - o[1])
      zoom(Math.hypot(at[0] - o[0], at[1] - o[1]) / (before || 1), (at[0] + o[0]) / 2, (at[1] + o[1]) / 2)
    } else if (line) {
      const last = line[line.length - 1]!
      if (Math.hypot(at[0] - last[0], at[1] - last[1]) > 3) setLine([...line, at])
    } else {
      camera.current = v.moved(at[0] - from[0], at[1] - from[1], e.shiftKey)
      moved()
    }
  }
  const up = (e: PointerEvent) => {
    fingers.current.delete(e.pointerId)
    if (!line) return
    const v = camera.current!, s = size()
    const found = flat(v) ? places!.enclosed(line.map((q) => v.plane(s, ...q))) : enclosedIn(v, s, p.xy, line)
    setLine(null)
    p.onSelect(found.length ? found : null)
  }
  const key = (e: KeyboardEvent) => {
    const v = camera.current, step = 60
    const by: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }
    const to = by[e.key]
    if (to && v) camera.current = v.moved(-to[0] * step, to[1] * step, e.shiftKey)
    else if (e.key === '+' || e.key === '=') zoom(1.4)
    else if (e.key === '-') zoom(1 / 1.4)
    else if (e.key === '0') camera.current = null
    else return
    e.preventDefault()
    moved()
  }
  return (
    <div class={`map-canvas ${p.tool}`} ref={box} tabIndex={0} role="application"
      aria-label={`A map of ${count(p.ids.length, 'item')}: arrows ${dims === 3 ? 'turn it, with Shift they move it' : 'move it'}, plus and minus zoom, 0 shows all`}
      onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={up} onPointerLeave={() => setPoint(-1)}
      onKeyDown={key}>
      <canvas ref={canvas} />
      {paths.length > 0 && (
        <svg class="map-contours" aria-hidden="true"><g ref={level}>{paths.map((d, i) => <path key={i} d={d} style={{ opacity: 0.35 + 0.15 * i }} />)}</g></svg>
      )}
      <div class="map-over" ref={over}>
        {p.labels && p.map.clusters.slice(0, LABELS).filter((c) => c.label).map((c) => (
          <span key={c.number} class="map-label" data-x={c.x} data-y={c.y} data-z={c.z}>{c.label.split(', ').slice(0, 2).join(', ')}</span>
        ))}
        {p.found?.map((i, rank) => i >= 0 && (
          <span key={i} class="map-hit" data-x={p.xy[dims * i]} data-y={p.xy[dims * i + 1]} data-z={dims === 3 ? p.xy[3 * i + 2] : 0}>{rank + 1}</span>
        ))}
        {point >= 0 && <span class="map-ring" data-x={p.xy[dims * point]} data-y={p.xy[dims * point + 1]} data-z={dims === 3 ? p.xy[3 * point + 2] : 0} />}
      </div>
      {line && <svg class="map-lasso"><polygon points={line.map((q) => q.join(',')).join(' ')} /></svg>}
      <div class="map-buttons">
        <Button label="Nearer" onClick={() => zoom(1.6)}>+</Button>
        <Button label="Farther" onClick={() => zoom(1 / 1.6)}>−</Button>
        <Button label="Show all" onClick={() => { camera.current = null; soon() }}>All</Button>
      </div>
      {point >= 0 && <Under k={p.k} id={p.ids[point]!} />}
    </div>
  )
}

// ---- the item under the pointer

function Under({ k, id }: { k: Collection; id: Id }) {
  const settled = useSettled(id, 120)
  const { data } = useLoad((signal) => call('GET /api/v1/collections/{name}/items',
    { params: { name: k.name }, query: { limit: 1, from: String(settled) }, signal }), [k.name, settled])
  const item = data?.items.find((i) => String(i.id) === String(id))
  const { text, ...rest } = (item?.payload ?? {}) as Record<string, unknown>
  return (
    <div class="map-item" role="status">
      <code class="small">{String(id)}</code>
      {typeof text === 'string' && <p>{text.slice(0, 400)}</p>}
      {Object.keys(rest).length > 0 && (
        <dl class="small">
          {Object.entries(rest).slice(0, HELD).map(([name, v]) => (
            <div key={name}><dt class="dim">{name}</dt><dd class="clip">{typeof v === 'string' ? v : JSON.stringify(v)}</dd></div>
          ))}
        </dl>
      )}
    </div>
  )
}
