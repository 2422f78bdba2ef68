// The page's pure parts, without a browser: byte offsets, event streams however they are cut,
// the answer's Markdown, addresses, how numbers read, graphs, curves, columns of runs. Needs what the build needs: esbuild.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const web = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'web')
const esbuild = join(web, 'node_modules', 'esbuild', 'lib', 'main.js')
if (!existsSync(esbuild)) {
  console.log('1..0 # SKIP the page was not built (web/node_modules is missing)')
  process.exit(0)
}
const { build } = await import(pathToFileURL(esbuild).href)
const bundled = await build({
  stdin: {
    contents: `export * from './bytes'; export { readEvents, url } from './api';
      export { pieces } from './markdown'; export * from './format';
      export { find, fromMlflow, href } from './router'; export { paths } from './paths';
      export * from './layers'; export * from './sides'; export * from './facts'; export { fits } from './promotion';
      export * from './series'; export * from './axes'; export * as columns from './columns';
      export { changesOf } from './artifact_files';
      export * from './play_stream'; export * as play from './play_request'`,
    resolveDir: join(web, 'src'), loader: 'ts',
  },
  bundle: true, write: false, format: 'esm', jsx: 'automatic', jsxImportSource: 'preact',
  banner: { js: 'globalThis.location ??= { pathname: "/", search: "" };' },
})
const source = Buffer.from(bundled.outputFiles[0].contents).toString('base64')
const m = await import(`data:text/javascript;base64,${source}`)

let n = 0
let failed = 0
const same = (got, want) => JSON.stringify(got) === JSON.stringify(want)
function check(name, got, want) {
  const ok = same(got, want)
  if (!ok) failed++
  console.log(`${ok ? 'ok' : 'not ok'} ${++n} - ${name}`)
  if (!ok) console.log(`# got  ${JSON.stringify(got)}\n# want ${JSON.stringify(want)}`)
}

// ---- the playground: chunks gathered, requests as code
{
  const g = m.nothing()
  const piece = (content, ...tokens) => ({ choices: [{ delta: { content }, logprobs: { content: tokens.map(([token, logprob]) => ({ token, logprob, top_logprobs: [] })) } }] })
  m.gather(g, { choices: [{ delta: { role: 'assistant', content: '' } }] })
  check('the role is nothing of the answer', [g.tokens, g.pieces.length], [0, 0])
  m.gather(g, piece('Hi', ['Hi', 0]))
  m.gather(g, piece('', ['\ufffd', -1]))
  m.gather(g, piece('\u7f8a', ['\ufffd', -2]))
  check('a character of two tokens is one piece', [m.textOf(g), g.pieces.map((p) => p.tokens.length), g.tokens], ['Hi\u7f8a', [1, 2], 3])
  check('its probability is that of both', m.probability(g.pieces[1].tokens).toFixed(6), Math.exp(-3).toFixed(6))
  const call = (index, id, name, args) => ({ choices: [{ delta: { tool_calls: [{ index, ...(id ? { id } : {}), function: { ...(name ? { name } : {}), arguments: args } }] } }] })
  for (const c of [call(0, 'a', 'f', ''), call(0, '', '', '{"x"'), call(1, 'b', 'g', '{}'), call(0, '', '', ':1}')]) m.gather(g, c)
  check('calls in parallel', g.calls, [{ id: 'a', name: 'f', arguments: '{"x":1}' }, { id: 'b', name: 'g', arguments: '{}' }])
  m.gather(g, { choices: [], usage: { prompt_tokens: 9, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } } })
  check('the server counts better', [g.tokens, g.promptTokens, g.cachedTokens], [5, 9, 4])
  check('rates', [m.rate(11, 100, 1100), m.rate(1, 100, 200), m.rate(5, undefined, 9), m.rate(16, 100, 101)], [10, null, null, null])
  const setup = { system: 'Be brief.', format: 'json_schema', schema: '{"type":"object"}', tools: '[]', toolChoice: 'auto' }
  const side = { model: '', parameters: { temperature: '0', top_k: '', min_p: 'x', stop: 'a\n\nb' }, probabilities: false }
  check('a request has what was set and no more', m.play.requestOf(setup, side, [{ role: 'user', content: 'q' }]), {
    messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'q' }], temperature: 0, stop: ['a', 'b'],
    response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: { type: 'object' } } }, tools: [] })
  check('what is no schema', [m.play.schemaProblem('[]'), m.play.schemaProblem('{}'), m.play.toolsProblem('{}') !== null, m.play.toolsProblem(' ')], ['A schema is an object.', null, true, null])
  check('a quote in the shell', m.play.curlOf({ a: "it's" }, 'http://h', false).includes("it'\\''s"), true)
  check('Python', m.play.python({ a: [true, null, 1.5, "x'y\n"] }), '{"a": [True, None, 1.5, "x\'y\\n"]}')
}

// ---- byte offsets
const text = '\ufeffcafé 羊 🐑 e\u0301nd'
const t = new m.Text(text)
check('a text comes back whole', t.slice(0, t.length), text)
check('every character is found at its bytes', [...text].every((c, i) => {
  const before = [...text].slice(0, i).join('')
  const from = Buffer.byteLength(before)
  return t.slice(from, from + Buffer.byteLength(c)) === c
}), true)
check('offsets inside a character fall to its start', (() => {
  const sheep = Buffer.byteLength('\ufeffcafé 羊 ')
  return [1, 2, 3].map((d) => t.slice(sheep, sheep + d))
})(), ['', '', ''])
check('cutting anywhere loses nothing', Array.from({ length: t.length + 1 }, (_, i) =>
  t.slice(0, i) + t.slice(i, t.length)).every((s) => s === text), true)
check('offsets beyond the end', t.slice(t.length - 2, 999), 'nd')
check('byteOffset', m.byteOffset('é羊x', 2), 5)

// ---- event streams, cut at every place and into single bytes
const wire = Buffer.from(': ping\r\n\r\nevent: token\r\ndata: {"text":"é羊"}\r\n\r\n' +
  'data: a\ndata:b\n\nevent: x\n\nid: 7\nevent: last\rdata: 🐑\r\r' + 'data: unfinished')
const want = [{ event: 'token', data: '{"text":"é羊"}' }, { event: 'message', data: 'a\nb' },
  { event: 'last', data: '🐑' }]
async function events(parts) {
  const out = []
  const body = new ReadableStream({
    start(c) {
      for (const p of parts) c.enqueue(new Uint8Array(p))
      c.close()
    },
  })
  for await (const e of m.readEvents(body)) out.push(e)
  return out
}
check('events in one piece', await events([wire]), want)
check('events in single bytes', await events([...wire].map((b) => [b])), want)
let cuts = 0
for (let i = 1; i < wire.length; i++)
  if (!same(await events([wire.subarray(0, i), wire.subarray(i)]), want)) cuts++
check('events cut in two at every place', cuts, 0)

// ---- the answer's Markdown keeps its offsets
const answer = 'One [1].\nTwo.\n\n- a [2]\n- b\n1. c\n```\ncode [3]\n```\n## Head\nlast'
const parts = m.pieces(answer)
check('pieces', parts.map((p) => [p.kind, p.text]), [['text', 'One [1].\nTwo.'],
  ['bullet', 'a [2]'], ['bullet', 'b'], ['number', 'c'], ['code', 'code [3]'], ['heading', 'Head'],
  ['text', 'last']])
check('each piece stands where it says', parts.filter((p) => p.kind !== 'code')
  .every((p) => answer.startsWith(p.text, p.from)), true)
check('an open fence is code to the end', m.pieces('```\nx\ny').map((p) => p.text), ['x\ny'])

// ---- addresses
check('a page and its parameter', m.find('/runs/6f%20c'), { name: 'run', params: { id: '6f c' } })
check('no page', [m.find('/runs/'), m.find('/nothing'), m.find('/documents/a/b')], [null, null, null])
check('a broken escape is no crash', m.find('/runs/%zz'), { name: 'run', params: { id: '%zz' } })
check('every page is found at its own address', Object.keys(m.paths).every((name) =>
  m.find(m.href(name, { id: 'x/y', kind: 'model', name: 'a b', experiment: '3' }))?.name === name), true)
check("links that MLflow's client prints", ['#/experiments/3/runs/01a2', '#/experiments/3', '#/models/a%20b/versions/2', '#/models/m', '#/nothing', '#x', ''].map(m.fromMlflow),
  ['/experiments/3/runs/01a2', '/experiments/3', '/registry/model/a%20b?v=2', '/registry/model/m', null, null, null])
check('url', m.url('GET /api/v1/documents/{id}/text', { id: 'a/b' }, { q: 'é', none: '', off: undefined }),
  '/api/v1/documents/a%2Fb/text?q=%C3%A9')

// ---- how numbers read
check('durations', [0.04, 0.5, 0.154, 3, 1.54, 999.4, 999.6, 9949, 59949, 59951, 3599600, 90000000, null]
  .map(m.duration), ['0.04 ms', '0.5 ms', '0.15 ms', '3 ms', '1.5 ms', '999 ms', '1.00 s', '9.95 s', '59.9 s', '1 min 0 s',
  '1 h 0 min', '1 d 1 h', '…'])
check('sizes', [0, 999, 1000, 9949, 9951, 999499, 999500, 98362432, 1.1e12].map(m.size),
  ['0 B', '999 B', '1.0 kB', '9.9 kB', '10 kB', '999 kB', '1.0 MB', '98 MB', '1.1 TB'])
check('parameters', [134515008, 999.6e6, 1.54e9, 7.2e10].map(m.parameters), ['135 M', '1000 M', '1.5 B', '72 B'])
check('counts', [m.count(1, 'file'), m.count(1200, 'file')], ['1 file', '1,200 files'])

// ---- graphs in layers
const o = { along: 100, within: 40, alongGap: 50, withinGap: 10 }
const diamond = m.layered(['a', 'b', 'c', 'd', 'e'], [['a', 'b'], ['a', 'c'], ['b', 'd'], ['c', 'd'], ['a', 'd']], o)
const at = (l, id) => [l.at.get(id).x, l.at.get(id).y]
check('each behind all that lead to it', ['a', 'b', 'c', 'd'].map((id) => at(diamond, id)[0]), [0, 150, 150, 300])
check('nothing overlaps', [...diamond.at.values()].every((p, i, all) => all.every((q, j) =>
  i === j || p.x !== q.x || Math.abs(p.y - q.y) >= 50 - 1e-9)), true)
check('nodes stay in the field', [...diamond.at.values()].every((p) => p.x >= 0 && p.y >= -1e-9 &&
  p.x + 100 <= diamond.width && p.y + 40 <= diamond.height + 1e-9), true)
check('a line over a layer bends through it', diamond.lines.find((l) => l.from === 'a' && l.to === 'd').points.length, 4)
const circle = m.layered(['a', 'b', 'c'], [['a', 'b'], ['b', 'c'], ['c', 'a'], ['c', 'c']], o)
check('a circle is drawn without the line that closes it', circle.lines.map((l) => l.from + l.to), ['ab', 'bc'])
check('a source stands just before its use', m.layered(['a', 'b', 'c', 'late'], [['a', 'b'], ['b', 'c'], ['late', 'c']], o)
  .at.get('late').x, 150)
check('a graph begins at the top', Math.min(...[...m.layered(["s", "a", "b", "c", "d", "z"], [['s', 'a'], ['a', 'b'], ['a', 'c'], ['a', 'd'], ['c', 'z'], ['d', 'z']], o).at.values()].map((p) => p.y)), 0)
check('nothing at all', [m.layered([], [], o).height, m.layered(['x'], [], o).at.get('x')], [0, { x: 0, y: 0 }])
check('crossed lines are uncrossed', (() => {
  const l = m.layered(['a', 'b', 'x', 'y'], [['a', 'y'], ['b', 'x']], o)
  return (at(l, 'a')[1] - at(l, 'b')[1]) * (at(l, 'y')[1] - at(l, 'x')[1]) > 0
})(), true)
check('spread keeps distances, moves least', m.spread([0, 0, 100], 10), [-5, 5, 100])
const many = Array.from({ length: 500 }, (_, i) => `n${i}`)
check('500 nodes have a place each', m.layered(many, many.slice(1).map((id, i) => [many[Math.floor(i / 2)], id]), o).at.size, 500)

// ---- texts beside each other
const sides = (a, b) => m.sideBySide(a, b).map((r) => [r.kind, r.left?.pieces.map((p) => p.text).join(''), r.right?.pieces.map((p) => p.text).join('')])
check('what is equal, changed, added', sides('one\ntwo words here\nthree\n', 'one\ntwo other here\nthree\nfour\n'), [
  ['same', 'one', 'one'], ['changed', 'two words here', 'two other here'], ['same', 'three', 'three'], ['added', null, 'four']])
check('only the words that differ are marked', m.sideBySide('two words here\n', 'two other here\n')[0].right.pieces
  .filter((p) => p.changed).map((p) => p.text), ['other'])
check('texts without an end of line', sides('a', 'a\nb').at(-1), ['added', null, 'b'])
check('empty against something', sides('', 'x\n'), [['added', null, 'x']])
check('equal runs are folded', m.folded(m.sideBySide('x\n'.repeat(20) + 'end\n', 'x\n'.repeat(20) + 'END\n'))
  .map((r) => r.fold?.length ?? r.kind), [17, 'same', 'same', 'same', 'changed'])

const file = (path, sha256) => ({ path, sha256, size: 1 })
check('files of two versions', m.changesOf([file('b', '1'), file('a', '1'), file('same', '9')], [file('b', '2'), file('c', '1'), file('same', '9')])
  .map((c) => [c.path, c.kind]), [['a', 'removed'], ['b', 'changed'], ['c', 'added']])

// ---- aliases over time
const fact = (seq, valid, recorded, value, more = {}) => ({ seq, version: 0, what: 'alias', name: 'prod', value,
  valid, recorded, by: 'ada', reason: '', detail: {}, retracts: null, hash: '', ...more })
const D = (day) => `2026-05-0${day}T00:00:00.000Z`
const history = [fact(1, D(1), D(1), '1'), fact(2, D(3), D(3), '2'),
  fact(3, D(2), D(5), '3'), // on the 5th it came out that since the 2nd it was 3
  fact(4, D(6), D(6), null), fact(5, D(7), D(7), null, { retracts: 2 })]
const lane = (known) => m.aliasLanes(history, known && Date.parse(known))[0]?.stretches
  .map((s) => [s.version, new Date(s.from).getUTCDate(), s.to && new Date(s.to).getUTCDate()])
check('as known on the 4th', lane(D(4)), [[1, 1, 3], [2, 3, null]])
check('as known on the 6th', lane(D(6)), [[1, 1, 2], [3, 2, 3], [2, 3, 6], [null, 6, null]])
check('as known now: one fact was taken back', lane(null), [[1, 1, 2], [3, 2, 6], [null, 6, null]])
check('what held on the 4th', m.heldAt(m.aliasLanes(history)[0], Date.parse(D(4))).version, 3)
check('patterns of rules', [m.fits('*', ''), m.fits('pro*', 'prod'), m.fits('p?od', 'prod'), m.fits('a.c', 'abc'), m.fits('(', '(')],
  [true, true, true, false, true])

// ---- curves
const round = (list) => list.map((v) => v === null ? null : +v.toFixed(9))
check('a constant stays what it is, however smoothed', round(m.smoothed([3, 3, 3, 3], 0.9)), [3, 3, 3, 3])
check('the first point is not pulled to zero; gaps stay', round(m.smoothed([1, null, 0], 0.5)), [1, null, +(0.25 / 0.75).toFixed(9)])
check('no smoothing', m.smoothed([1, 5], 0), [1, 5])
const curve = m.curveOf({ columns: ['x0', 'x1', 'n', 'min', 'max', 'mean', 'last'],
  buckets: [[0, 9, 10, 1, 3, 2, 2], [10, 19, 10, null, null, null, null], [20, 29, 10, 4, 6, 5, 5]] })
check('buckets stand in their middle, the ends at the ends', [curve.x, curve.y, curve.hi], [[0, 14.5, 29], [2, null, 5], [3, null, 6]])
check('log axes leave out what they cannot show', m.positive({ x: [0, 1, 2], y: [1, -1, 2], lo: [1, 1, 0], hi: [1, 1, 3] }, true, true),
  { x: [1, 2], y: [null, 2], lo: [1, null], hi: [1, 3] })
check('curves on one axis', m.together([{ x: [1, 3] }, { x: [2, 3] }]).at.map((a) => a.map((i) => i ?? '')), [[0, '', 1], ['', 0, 1]])
check('nearest', [m.nearest([1, 2, 10], 0), m.nearest([1, 2, 10], 5), m.nearest([1, 2, 10], 7), m.nearest([1, 2, 10], 99), m.nearest([], 1)], [0, 1, 2, 2, -1])
check('figures', [0, 0.5, 1234567, 1e9, 1.2345e-7, 0.000123456, null, 12345.678].map(m.figure),
  ['0', '0.5', '1,234,567', '1e+9', '1.235e-7', '0.000123456', '–', '12,345.7'])

// ---- parallel coordinates
const lr = m.scaleOf(['1e-5', '1e-3', '1e-4', null])
check('texts that are numbers are numbers; wide ones are logarithmic', [lr.kind, +lr.at('1e-4').toFixed(9), lr.at(null)], ['log', 0.5, null])
const words = m.scaleOf(['sgd', 'adam', 'lion'])
check('words stand in their order', [words.kind, words.at('adam'), words.at('lion'), words.at('sgd')], ['words', 0, 0.5, 1])
check('one value is in the middle', m.scaleOf([7, 7]).at(7), 0.5)
const axis = [{ id: 'a', title: 'a', values: [0, 5, 10] }, { id: 'b', title: 'b', values: ['x', 'y', null] }]
check('brushes', m.through(axis, axis.map((a) => m.scaleOf(a.values)), new Map([['a', [0, 0.5]], ['b', [0.9, 1]]])), [false, true, false])

// ---- columns of runs
const run = (id, params, metrics) => ({ id, name: id, status: 'ok', user: '', started: '2026-05-01T00:00:00Z', duration_ms: 5, tags: {}, params,
  metrics: Object.fromEntries(Object.entries(metrics).map(([k, value]) => [k, { value, step: 0, time_ms: 0 }])) })
const table = [run('a', { opt: 'adam', same: '1' }, { loss: 1 }), run('b', { opt: 'sgd', same: '1' }, { loss: 3 }), run('c', { opt: 'adam', same: '1' }, { loss: 5 }), run('d', {}, {})]
const c = m.columns
check('what differs comes first', c.usual(table).slice(3), ['metrics.loss', 'params.opt', 'params.same'])
check('terms of the language', ['metrics.val/loss', 'params.a key', 'params.a`b', 'attributes.started'].map(c.term), ['metrics.val/loss', 'params.`a key`', 'params."a`b"', 'start_time'])
check('which names are columns', ['params.x', 'attributes.user', 'attributes.nope', 'x', 'tags.'].map(c.isColumn), [true, true, false, false, false])
check('a key named like a member of objects is none', c.valueOf(table[3], 'params.constructor'), null)
check('groups, the largest first, runs without the value too', c.grouped(table, 'params.opt').map((g) => [g.value, g.runs.length]), [['adam', 2], ['sgd', 1], [null, 1]])
check('aggregates', [c.aggregate(table, 'metrics.loss', 'mean'), c.aggregate(table, 'metrics.loss', 'median').value, c.aggregate([table[3]], 'metrics.loss', 'max')],
  [{ value: 3, n: 3, spread: 2 }, 3, null])

console.log(`1..${n}`)
process.exit(failed ? 1 : 0)
