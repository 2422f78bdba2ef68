// What differs between two versions: texts side by side, everything else as a table.
import { useMemo, useState } from 'preact/hooks'
import { FilesDiff, isKept } from './artifact_files'
import { fullTime, size } from './format'
import { usePlace } from './router'
import { TextDiff } from './textdiff'
import type { ArtifactVersion } from './types'
import { Button, Empty } from './ui'

/** A value as lines: members of objects by their path. */
export function flat(value: unknown, path = '', out = new Map<string, string>(), depth = 0): Map<string, string> {
  if (value !== null && typeof value === 'object' && !Array.isArray(value) && depth < 8 && Object.keys(value).length)
    for (const [k, v] of Object.entries(value)) flat(v, path ? `${path}.${k}` : k, out, depth + 1)
  else out.set(path, typeof value === 'string' ? value : JSON.stringify(value))
  return out
}

function said(v: ArtifactVersion): Map<string, string> {
  return new Map([
    ['description', v.description], ['source', v.source], ['digest', v.digest],
    ['size', v.bytes ? size(v.bytes) : ''], ['run', v.run ?? ''], ['by', v.creator], ['created', fullTime(v.created)],
    ...[...flat(v.tags)].filter(([k]) => k).map(([k, x]): [string, string] => [`tag ${k}`, x]),
    ...[...flat(v.metadata)].filter(([k]) => k).map(([k, x]): [string, string] => [k, x]),
  ])
}

const isText = (s: string) => s.includes('\n') || s.length > 120

export function Compare({ versions, put }: {
  versions: ArtifactVersion[]; put: (c: Record<string, string | null>) => void
}) {
  const { query } = usePlace()
  const [all, setAll] = useState(false)
  const pick = (name: string, fallback: ArtifactVersion | undefined) =>
    versions.find((v) => String(v.version) === query.get(name)) ?? fallback
  const b = pick('b', versions[0])
  const a = pick('a', versions.find((v) => b && v.version < b.version) ?? versions[1])
  const rows = useMemo(() => {
    if (!a || !b) return []
    const left = said(a)
    const right = said(b)
    return [...new Set([...left.keys(), ...right.keys()])].map((key) =>
      ({ key, left: left.get(key) ?? '', right: right.get(key) ?? '' }))
  }, [a, b])
  if (!a || !b) return <Empty title="Nothing to compare"><p>It takes two versions.</p></Empty>
  const differ = rows.filter((r) => r.left !== r.right)
  const shown = (all ? rows.filter((r) => r.left || r.right) : differ).filter((r) => !isText(r.left) && !isText(r.right))
  const texts = differ.filter((r) => isText(r.left) || isText(r.right))
  const choose = (name: string, v: ArtifactVersion, label: string) => (
    <select aria-label={label} value={String(v.version)} onChange={(e) => put({ [name]: e.currentTarget.value })}>
      {versions.map((x) => (
        <option key={x.version} value={String(x.version)}>
          Version {x.version}{x.aliases.length ? ` (${x.aliases.join(', ')})` : ''}
        </option>
      ))}
    </select>
  )
  return (
    <section aria-label="Comparison">
      <div class="toolbar">
        {choose('a', a, 'First version')}
        <Button icon="swap" label="Swap" onClick={() => put({ a: String(b.version), b: String(a.version) })} />
        {choose('b', b, 'Second version')}
        <label class="check"><input type="checkbox" checked={all} onChange={() => setAll(!all)} /> also what is equal</label>
      </div>
      {!differ.length && <p class="dim">Nothing differs.</p>}
      {shown.length > 0 && (
        <div class="table-frame">
          <table class="rows compare-table">
            <thead><tr><th>What</th><th>Version {a.version}</th><th>Version {b.version}</th></tr></thead>
            <tbody>
              {shown.map((r) => (
                <tr key={r.key} class={r.left === r.right ? 'same' : ''}>
                  <th scope="row">{r.key}</th>
                  <td data-name={`Version ${a.version}`} class={r.key === 'digest' ? 'hash' : 'path'}>{r.left || <span class="dim">–</span>}</td>
                  <td data-name={`Version ${b.version}`} class={r.key === 'digest' ? 'hash' : 'path'}>{r.right || <span class="dim">–</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {isKept(a) && isKept(b) && a.digest !== b.digest && <FilesDiff a={a} b={b} />}
      {texts.map((r) => (
        <div key={r.key} class="text-part">
          <h3 class="small-head">{r.key}</h3>
          <TextDiff before={r.left} after={r.right} names={[`Version ${a.version}`, `Version ${b.version}`]} />
        </div>
      ))}
    </section>
  )
}
