// What a run used and produced, and what of it differs between two runs.
import { useState } from 'preact/hooks'
import { call } from './api'
import { TreeFiles, TreesDiff } from './artifact_files'
import { size } from './format'
import { href } from './router'
import type { Routes, RunData, RunDataDelta } from './types'
import { Badge, Button, Facts, Failure, Icon, useLoad } from './ui'

function Label({ x }: { x: RunData }) {
  return (
    <>
      {x.type === 'version' && !x.deleted
        ? <a href={href('artifact', { kind: x.kind!, name: x.name! }, { v: String(x.version) })}>{x.label}</a>
        : <span class={x.type === 'content' ? 'dim' : 'path'}>{x.type === 'content' ? 'files' : x.label}</span>}
      {x.deleted && <> <Badge>deleted</Badge></>}
    </>
  )
}

// ---- one run

export function RunInputsOutputs({ run }: { run: string }) {
  const { data, error, reload } = useLoad((signal) => call('GET /api/v1/runs/{id}/lineage', { params: { id: run }, signal }), [run])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return null
  return (
    <>
      <Items title="Used" items={data.inputs} />
      <Items title="Produced" items={data.outputs} />
    </>
  )
}

function Items({ title, items }: { title: string; items: RunData[] }) {
  const [open, setOpen] = useState<string | null>(null)
  if (!items.length) return null
  return (
    <section aria-label={title}>
      <h2 class="part">{title}</h2>
      <ul class="files">
        {items.map((x) => (
          <li key={x.node}>
            <div class="file">
              <Icon name={x.type === 'version' ? 'registry' : 'documents'} />
              <span><Label x={x} /> {x.path && <span class="dim small path">as {x.path}</span>}</span>
              <span class="dim small num">{x.bytes ? size(x.bytes) : ''}</span>
              {x.tree ? (
                <Button kind="quiet" aria-expanded={open === x.node} onClick={() => setOpen(open === x.node ? null : x.node)}>
                  {open === x.node ? 'Hide files' : 'Files'}</Button>
              ) : <span />}
            </div>
            {open === x.node && x.tree && <TreeFiles digest={x.tree} />}
          </li>
        ))}
      </ul>
    </section>
  )
}

// ---- two runs

type Diff = Routes['GET /api/v1/runs/{id}/diff/{other}']['reply']

export function RunsDiff({ a, b, names }: { a: string; b: string; names: [string, string] }) {
  const { data, error, reload } = useLoad((signal) =>
    call('GET /api/v1/runs/{id}/diff/{other}', { params: { id: a, other: b }, signal }), [a, b])
  if (error) return <Failure error={error} retry={reload} />
  if (!data) return null
  return (
    <>
      <Data title="Inputs" items={data.inputs} names={names} />
      <Data title="Outputs" items={data.outputs} names={names} />
      <Around diff={data} names={names} />
    </>
  )
}

function Data({ title, items, names }: { title: string; items: RunDataDelta[]; names: [string, string] }) {
  const [open, setOpen] = useState<string | null>(null)
  if (!items.length) return null
  const sign = { same: '=', added: '+', removed: '−', changed: '≠' }
  return (
    <section aria-label={title}>
      <h2 class="part">{title}</h2>
      <ul class="files changes">
        {items.map((x, i) => {
          const trees = x.change === 'changed' && x.files !== undefined && x.before?.tree && x.after?.tree
          const key = `${i} ${x.name}`
          return (
            <li key={key} class={x.change}>
              <div class="file">
                <span class="change-sign" aria-label={x.change}>{sign[x.change]}</span>
                <span>
                  <span class="path">{x.name}</span>{' '}
                  {x.before && x.change !== 'added' && <Label x={x.before} />}
                  {x.change === 'changed' && ' → '}
                  {x.after && x.change !== 'removed' && x.change !== 'same' && <Label x={x.after} />}
                </span>
                <span class="dim small num">{x.files_changed !== undefined && `${x.files_changed} of ${x.files_changed + x.files_same!} files`}</span>
                {trees ? (
                  <Button kind="quiet" aria-expanded={open === key} onClick={() => setOpen(open === key ? null : key)}>
                    {open === key ? 'Hide' : 'What differs'}</Button>
                ) : <span />}
              </div>
              {open === key && trees && <TreesDiff a={x.before!.tree!} b={x.after!.tree!} names={names} />}
            </li>
          )
        })}
      </ul>
    </section>
  )
}

/** Commands, commits and packages, as `croft run` recorded them. */
function Around({ diff, names }: { diff: Diff; names: [string, string] }) {
  const { before, after } = diff.code
  const fields = ['command', 'seed', 'commit', 'branch'] as const
  const rows = before && after ? fields.filter((f) => before[f] !== after[f]) : []
  if (!rows.length && !diff.environment.length) return null
  return (
    <section aria-label="Environment">
      <h2 class="part">Code and environment</h2>
      {rows.length > 0 && (
        <div class="table-frame">
          <table class="rows compare-table">
            <thead><tr><th>What</th><th>{names[0]}</th><th>{names[1]}</th></tr></thead>
            <tbody>
              {rows.map((f) => (
                <tr key={f}>
                  <th scope="row">{f}</th>
                  <td data-name={names[0]} class="path">{before![f] || '–'}</td>
                  <td data-name={names[1]} class="path">{after![f] || '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {diff.environment.length > 0 && <Facts rows={diff.environment.map((line) => {
        const at = line.lastIndexOf(' ', line.indexOf(' -> ') - 1)
        return [line.slice(0, at), line.slice(at + 1).replace(' -> ', ' → ')]
      })} />}
    </section>
  )
}
