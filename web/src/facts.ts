// What an artifact's facts say over time: when which alias pointed at which version.
import type { ArtifactFact } from './types'

export interface Stretch {
  fact: ArtifactFact
  version: number | null
  from: number
  /** null: still. */
  to: number | null
}
export interface Lane { alias: string; stretches: Stretch[] }

/**
 * The aliases as known at a time (null: now). Of the facts that were recorded by then and that no
 * fact known then takes back, the one with the latest valid time holds; among equals, the one that
 * was written last.
 */
export function aliasLanes(facts: ArtifactFact[], knownAt: number | null = null): Lane[] {
  const known = facts.filter((f) => knownAt === null || Date.parse(f.recorded) <= knownAt)
  const taken = new Set(known.map((f) => f.retracts).filter((s) => s !== null))
  const lanes = new Map<string, ArtifactFact[]>()
  for (const f of known)
    if (f.what === 'alias' && f.retracts === null && !taken.has(f.seq))
      lanes.set(f.name, [...(lanes.get(f.name) ?? []), f])
  return [...lanes].map(([alias, list]) => {
    list.sort((a, b) => Date.parse(a.valid) - Date.parse(b.valid) || a.seq - b.seq)
    const last = list.filter((f, i) => list[i + 1]?.valid !== f.valid)
    return {
      alias,
      stretches: last.map((fact, i) => ({
        fact,
        version: fact.value === null ? null : Number(fact.value),
        from: Date.parse(fact.valid),
        to: last[i + 1] ? Date.parse(last[i + 1]!.valid) : null,
      })),
    }
  }).sort((a, b) => (a.alias < b.alias ? -1 : 1))
}

export const brokeGlass = (f: ArtifactFact): boolean => f.detail['break_glass'] === true

/** What a lane says of a time. */
export const heldAt = (lane: Lane, t: number): Stretch | null =>
  lane.stretches.find((s) => s.from <= t && (s.to === null || t < s.to)) ?? null

/** The text of a fact, as a person says it. */
export function factText(f: ArtifactFact): string {
  const of = f.version === null || f.version === 0 ? '' : ` of version ${f.version}`
  if (f.retracts !== null) return `Fact ${f.retracts} was taken back`
  switch (f.what) {
    case 'name': return f.value === null ? 'Deleted' : `Called ${f.value}`
    case 'version': return f.value === null ? `Version ${f.version} deleted` : `Version ${f.version} added`
    case 'alias': return f.value === null ? `Alias ${f.name} taken away` : `Alias ${f.name} points at version ${f.value}`
    case 'tag': return f.value === null ? `Tag ${f.name}${of} removed` : `Tag ${f.name}${of}: ${f.value}`
    case 'description': return `Description${of} changed`
    case 'check': return `Check ${f.name}${of}: ${f.value ?? 'withdrawn'}`
    case 'approval': return f.value === null ? `${f.name} took the approval${of} back` : `${f.name} approved${of && ` version ${f.version}`}`
    case 'claim': return f.value === null ? `Claim ${f.name}${of} removed` : `Claim ${f.name}${of}: ${f.value}`
    case 'installed': return f.value === null ? `Files${of} removed from this machine` : `Files${of} are on this machine`
    default: return `${f.what} ${f.name}${of}${f.value === null ? ' ended' : `: ${f.value}`}`
  }
}
