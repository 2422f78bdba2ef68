// Bundles the page and, for the C build, writes it out as linkable data.
//
//   node build.mjs                                        into web/dist, to look at
//   node build.mjs --out DIR --asm F.S --table F.c --depfile F.d     (src/app/assets/meson.build)
//
// A page that is loaded when it is first shown (lazy() in src/lazy.tsx) becomes files of its own.
//
// The same sources give the same bytes: names are hashes of the content, nothing carries a time or
// a path. Packages are installed by `npm ci` from the committed lock file when node_modules is
// missing or older than it; after that nothing needs a network.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'

const here = dirname(fileURLToPath(import.meta.url))
// Bytes over the wire of a first visit, and of a file that a page loads later; what grows past it says so here.
const FIRST_MAX = 60_000
const LATER_MAX = 60_000

function options(argv) {
  const o = { out: join(here, 'dist') }
  for (let i = 0; i < argv.length; i += 2) {
    const name = argv[i]?.replace(/^--/, '')
    if (!['out', 'asm', 'table', 'depfile'].includes(name) || argv[i + 1] === undefined)
      fail(`unknown option ${argv[i]}`)
    o[name] = resolve(argv[i + 1])
  }
  return o
}

function fail(message) {
  console.error(`web/build.mjs: ${message}`)
  process.exit(1)
}

function install() {
  const lock = join(here, 'package-lock.json')
  const stamp = join(here, 'node_modules', '.package-lock.json')
  if (existsSync(stamp) && sameVersions(lock, stamp)) return
  console.error('web/build.mjs: installing packages (npm ci)')
  try {
    execFileSync('npm', ['ci', '--omit=dev'], { cwd: here, stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (e) {
    fail(`npm ci failed; without a network, build with -Dweb=false\n${e.stderr ?? e}`)
  }
}

// What is installed is what the lock file wants, whatever the clocks say. Packages of other
// platforms and those that only development needs may be absent.
function sameVersions(lock, stamp) {
  const want = JSON.parse(readFileSync(lock, 'utf8')).packages
  const have = JSON.parse(readFileSync(stamp, 'utf8')).packages
  return Object.entries(want).every(([path, p]) =>
    path === '' || p.dev || (p.optional && !have[path]) || have[path]?.version === p.version)
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

const types = {
  html: 'text/html; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

async function bundle() {
  const { build } = await import(
    pathToFileURL(join(here, 'node_modules', 'esbuild', 'lib', 'main.js')).href)
  const common = {
    absWorkingDir: here,
    outdir: 'out', // never written
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    sourcemap: false,
    target: ['es2022'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    logLevel: 'warning',
    charset: 'utf8',
    entryNames: '[name]-[hash]',
    chunkNames: 'part-[hash]', // parts name one another: their names cannot be made below
  }
  const failed = () => process.exit(1)
  const app = await build({ ...common, entryPoints: ['src/main.tsx'], format: 'esm', splitting: true })
    .catch(failed)
  // before the first paint: no module, which would wait for the document
  const theme = await build({ ...common, entryPoints: ['src/theme.ts'], format: 'iife' }).catch(failed)
  const paths = await build({
    absWorkingDir: here, entryPoints: ['src/paths.ts'], bundle: true, write: false, format: 'esm',
  })
  const source = Buffer.from(paths.outputFiles[0].contents).toString('base64')
  const routes = Object.values((await import(`data:text/javascript;base64,${source}`)).paths)

  const files = []
  const named = {} // what index.html calls main.js, main.css, theme.js, icon.svg
  const add = (path, bytes, later = false) => {
    const ext = path.slice(path.lastIndexOf('.') + 1)
    files.push({ path, type: types[ext] ?? fail(`${path} is of no type`), immutable: true, later, bytes })
  }
  const first = new Set()
  const needs = (out) => {
    if (first.has(out)) return
    first.add(out)
    for (const i of app.metafile.outputs[out].imports) if (i.kind === 'import-statement') needs(i.path)
  }
  for (const [out, o] of Object.entries(app.metafile.outputs)) if (o.entryPoint === 'src/main.tsx') needs(out)
  for (const f of [...app.outputFiles, ...theme.outputFiles]) {
    const file = relative(join(here, 'out'), f.path)
    const [, stem, ext] = /^(\w+)-\w+\.(\w+)$/.exec(file)
    const later = stem === 'part' && !first.has(`out/${file}`)
    if (stem !== 'part') named[`${stem}.${ext}`] = `/assets/${file}`
    add(`/assets/${file}`, Buffer.from(f.contents), later)
  }
  const icon = readFileSync(join(here, 'src', 'icon.svg'))
  named['icon.svg'] = `/assets/icon-${sha256(icon).slice(0, 12)}.svg`
  add(named['icon.svg'], icon)
  // what main.js imports is fetched beside it, not after it
  const preload = files.filter((f) => f.path.includes('/part-') && !f.later)
    .map((f) => `<link rel="modulepreload" href="${f.path}">`).join('\n')
  const html = readFileSync(join(here, 'src', 'index.html'), 'utf8').replace('{{preload}}', preload).replace(
    /\{\{([\w.]+)\}\}/g, (_, name) => named[name] ?? fail(`index.html names ${name}: no such file`))
  files.push({ path: '/index.html', type: types.html, immutable: false, bytes: Buffer.from(html) })
  files.push({ path: '/licences.txt', type: types.txt, immutable: false, bytes: licences(app.metafile) })
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  for (const f of files) {
    f.gzip = gzipSync(f.bytes, { level: 9 })
    f.gzip[9] = 255 // the system it was made on: unknown
  }
  const inputs = [app, theme].flatMap((r) => Object.keys(r.metafile.inputs)).map((p) => join(here, p))
  for (const p of ['src/paths.ts', 'src/icon.svg', 'src/index.html', 'package-lock.json', 'build.mjs'])
    inputs.push(join(here, p))
  return { files, routes, inputs: [...new Set(inputs)].sort() }
}

/** Of the packages whose code the page holds. */
function licences(metafile) {
  const names = new Set(Object.values(metafile.outputs).flatMap((o) => Object.keys(o.inputs))
    .map((p) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(p)?.[1]).filter(Boolean))
  return Buffer.from([...names].sort().map((name) => {
    const text = readFileSync(join(here, 'node_modules', name, 'LICENSE'), 'utf8').trim()
    return `The page contains the package ${name}.\n\n${text}\n`
  }).join('\n\n'))
}

function writeDist(dir, files) {
  rmSync(dir, { recursive: true, force: true })
  for (const f of files) {
    const to = join(dir, f.path)
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, f.bytes)
    writeFileSync(`${to}.gz`, f.gzip)
  }
}

// The bytes, by .incbin. The note at the end keeps the program's stack from becoming executable.
function asm(dir, files) {
  const one = (label, path) =>
    `\t.globl ${label}\n\t.hidden ${label}\n\t.balign 16\n${label}:\n\t.incbin "${path}"\n`
  const content = sha256(Buffer.concat(files.map((f) => f.bytes)))
  return `/* written by web/build.mjs; content ${content} */\n\t.section .rodata\n${files
    .map((f, i) => one(`croft_asset_${i}`, join(dir, f.path)) +
      one(`croft_asset_gz_${i}`, `${join(dir, f.path)}.gz`))
    .join('')}\t.byte 0\n\t.section .note.GNU-stack,"",%progbits\n`
}

function table(files, routes) {
  const bytes = files
    .map((_, i) => `extern const char croft_asset_${i}[], croft_asset_gz_${i}[];\n`).join('')
  const rows = files
    .map((f, i) => `\t{"${f.path}", "${f.type}", "\\"${sha256(f.bytes).slice(0, 20)}\\"", ${f.immutable},\n` +
      `\t\t{croft_asset_${i}, ${f.bytes.length}}, {croft_asset_gz_${i}, ${f.gzip.length}}},\n`)
    .join('')
  return `/* written by web/build.mjs */\n#include "app/assets.h"\n\n${bytes}\n` +
    `const struct asset assets[] = {\n${rows}};\nconst size_t n_assets = ${files.length};\n\n` +
    `const char *const asset_routes[] = {\n${routes.map((r) => `\t"${r}",\n`).join('')}};\n` +
    `const size_t n_asset_routes = ${routes.length};\n`
}

const o = options(process.argv.slice(2))
install()
const { files, routes, inputs } = await bundle()
const first = files.filter((f) => !f.later).reduce((n, f) => n + f.gzip.length, 0)
if (first > FIRST_MAX) fail(`a first visit is ${first} bytes compressed, the limit is ${FIRST_MAX}`)
for (const f of files)
  if (f.gzip.length > LATER_MAX) fail(`${f.path} is ${f.gzip.length} bytes compressed, the limit is ${LATER_MAX}`)
writeDist(o.out, files)
if (o.asm) writeFileSync(o.asm, asm(o.out, files))
if (o.table) writeFileSync(o.table, table(files, routes))
if (o.depfile)
  writeFileSync(o.depfile, `${o.asm} ${o.table}: ${inputs.map((p) => p.replace(/ /g, '\\ ')).join(' ')}\n`)
if (!o.asm) for (const f of files) console.log(`${f.path}  ${f.bytes.length} (${f.gzip.length} gzip)`)
