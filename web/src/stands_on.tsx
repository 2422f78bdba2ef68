// Which version of the documents an answer stands on.
import { count } from './format'
import { href } from './router'

export function StandsOn({ set, changes }: { set: string | null; changes: number }) {
  const parts = set?.match(/^([^/]+)\/(.+):(\d+)$/)
  if (!parts) return null
  return (
    <>{' · '}<a href={href('artifact', { kind: parts[1]!, name: parts[2]! }, { v: parts[3]! })}>{set}</a>
      {changes > 0 && ` and ${count(changes, 'change')} since`}</>
  )
}
