// A part of a collection: the items whose payload has a value in a field, as the filter of searches says it.

export type Part = { field: string; value: string }
export const WHOLE: Part = { field: '', value: '' }

/** undefined: all items. What reads as a number or a truth value is meant as that, too. */
export function filterOf({ field, value }: Part): Record<string, unknown> | undefined {
  if (!field || !value.trim()) return undefined
  const text = value.trim(), key = /^[\w-]+$/.test(field) ? field : JSON.stringify(field) // dots lead into members
  const values: unknown[] = [text]
  if (/^-?\d{1,15}$/.test(text)) values.push(Number(text))
  if (text === 'true' || text === 'false') values.push(text === 'true')
  return values.length === 1 ? { must: [{ key, match: { value: text } }] }
    : { should: values.map((v) => ({ key, match: { value: v } })) }
}

/** How a filter that this made, or another, is said in a line. */
export function said(filter: unknown): string {
  const f = filter as { must?: { key?: string; match?: { value?: unknown } }[]; should?: { key?: string; match?: { value?: unknown } }[] }
  const list = f.must ?? f.should, one = list?.[0]
  return one?.key && one.match && Object.keys(f).length === 1 && (f.should || list!.length === 1)
    ? `${one.key} is ${String(one.match.value)}` : JSON.stringify(filter)
}

export function PartPicker({ fields, part, onChange }: { fields: string[]; part: Part; onChange: (p: Part) => void }) {
  if (!fields.length) return null
  return (
    <label class="small dim part-picker">Only where{' '}
      <select value={part.field} aria-label="Only where this field" onChange={(e) => onChange({ ...part, field: e.currentTarget.value })}>
        <option value="">all items</option>
        {fields.map((f) => <option key={f} value={f}>{f}</option>)}
      </select>
      {part.field && (
        <input value={part.value} placeholder="is" aria-label="is this" onInput={(e) => onChange({ ...part, value: e.currentTarget.value })} />
      )}
    </label>
  )
}
