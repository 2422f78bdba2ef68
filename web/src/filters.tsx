import { useEffect, useState } from 'preact/hooks'
import { documentTypes, Field, useSettled } from './ui'
import type { Filters } from './types'

export function FilterBar({ value, onChange }: {
  value: Filters; onChange: (f: Filters) => void
}) {
  const put = (name: keyof Filters) => (e: { currentTarget: HTMLInputElement | HTMLSelectElement }) =>
    onChange({ ...value, [name]: e.currentTarget.value })
  return (
    <div class="filters" role="group" aria-label="Filters">
      <Field label="Type">
        <select value={value.type ?? ''} onChange={put('type')}>
          <option value="">Any</option>
          {documentTypes.map((t) => <option key={t} value={t}>{t}</option>)}
        </select>
      </Field>
      <Field label="Path">
        <input value={value.path ?? ''} placeholder="**/reports/*" onInput={put('path')}
          spellcheck={false} />
      </Field>
      <Field label="Tag">
        <input value={value.tag ?? ''} placeholder="any" onInput={put('tag')} />
      </Field>
      <Field label="From">
        <input type="date" value={value.from ?? ''} onInput={put('from')} />
      </Field>
      <Field label="To">
        <input type="date" value={value.to ?? ''} onInput={put('to')} />
      </Field>
    </div>
  )
}

/** A text that goes into the address once it has been still for a moment. */
export function Typed({ label, hint, value, onChange }: {
  label: string; hint: string; value: string; onChange: (v: string) => void
}) {
  const [text, setText] = useState(value)
  const settled = useSettled(text, 350)
  useEffect(() => { if (settled !== value) onChange(settled) }, [settled])
  return (
    <input type="search" aria-label={label} placeholder={hint} value={text}
      onInput={(e) => setText(e.currentTarget.value)} />
  )
}
