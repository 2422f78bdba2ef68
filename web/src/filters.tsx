import { documentTypes, Field } from './ui'
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
