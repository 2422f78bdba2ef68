// The page's pure parts, without a browser: byte offsets, event streams however they are cut,
// the answer's Markdown, addresses, how numbers read. Needs what the build needs: esbuild.
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
      export { find, href } from './router'; export { paths } from './paths'`,
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
  m.find(m.href(name, { id: 'x/y' })).name === name), true)
check('url', m.url('GET /api/v1/documents/{id}/text', { id: 'a/b' }, { q: 'é', none: '', off: undefined }),
  '/api/v1/documents/a%2Fb/text?q=%C3%A9')

// ---- how numbers read
check('durations', [0.04, 0.5, 3, 999.4, 999.6, 9949, 59949, 59951, 3599600, 90000000, null]
  .map(m.duration), ['0.04 ms', '0.5 ms', '3 ms', '999 ms', '1.00 s', '9.95 s', '59.9 s', '1 min 0 s',
  '1 h 0 min', '1 d 1 h', '…'])
check('sizes', [0, 999, 1000, 9949, 9951, 999499, 999500, 98362432, 1.1e12].map(m.size),
  ['0 B', '999 B', '1.0 kB', '9.9 kB', '10 kB', '999 kB', '1.0 MB', '98 MB', '1.1 TB'])
check('parameters', [134515008, 999.6e6, 1.54e9, 7.2e10].map(m.parameters), ['135 M', '1000 M', '1.5 B', '72 B'])
check('counts', [m.count(1, 'file'), m.count(1200, 'file')], ['1 file', '1,200 files'])

console.log(`1..${n}`)
process.exit(failed ? 1 : 0)
