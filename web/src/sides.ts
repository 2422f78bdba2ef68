// Two texts beside each other: rows of lines, and in lines that were changed, the words.
import { diffLines, diffWordsWithSpace } from 'diff'

export interface Piece { text: string; changed: boolean }
export interface Side { n: number; pieces: Piece[] }
export interface Row { kind: 'same' | 'changed' | 'added' | 'removed'; left: Side | null; right: Side | null }

// Beyond it the words of a line are not compared: nobody reads them, and it takes long.
const LINE_MAX = 2000
const TEXT_MAX = 400_000

const linesOf = (text: string): string[] => {
  const lines = text.split('\n')
  if (lines[lines.length - 1] === '') lines.pop()
  return lines
}

const plain = (n: number, text: string): Side => ({ n, pieces: [{ text, changed: false }] })

/** Whether two lines share enough that comparing their words says something. */
function words(a: string, b: string): { left: Piece[]; right: Piece[] } | null {
  if (a.length > LINE_MAX || b.length > LINE_MAX) return null
  const left: Piece[] = []
  const right: Piece[] = []
  let same = 0
  for (const p of diffWordsWithSpace(a, b)) {
    const changed = !!(p.added || p.removed)
    if (!changed) same += p.value.trim().length
    if (!p.added) left.push({ text: p.value, changed })
    if (!p.removed) right.push({ text: p.value, changed })
  }
  return same * 4 >= Math.max(a.length, b.length) ? { left, right } : null
}

export function sideBySide(a: string, b: string): Row[] | null {
  if (a.length > TEXT_MAX || b.length > TEXT_MAX) return null
  const rows: Row[] = []
  let left = 0
  let right = 0
  let gone: string[] = []
  const flush = (come: string[]) => {
    for (let i = 0; i < Math.max(gone.length, come.length); i++) {
      const was = gone[i]
      const is = come[i]
      const both = was !== undefined && is !== undefined ? words(was, is) : null
      rows.push({
        kind: was === undefined ? 'added' : is === undefined ? 'removed' : 'changed',
        left: was === undefined ? null : both ? { n: ++left, pieces: both.left } : plain(++left, was),
        right: is === undefined ? null : both ? { n: ++right, pieces: both.right } : plain(++right, is),
      })
    }
    gone = []
  }
  for (const part of diffLines(a, b)) {
    const lines = linesOf(part.value)
    if (part.removed) gone = lines
    else if (part.added) flush(lines)
    else {
      flush([])
      for (const text of lines)
        rows.push({ kind: 'same', left: plain(++left, text), right: plain(++right, text) })
    }
  }
  flush([])
  return rows
}

/** Runs of equal rows are folded, but for `around` rows beside a change. */
export function folded(rows: Row[], around = 3): (Row | { fold: Row[] })[] {
  const near = rows.map((_, i) =>
    rows.slice(Math.max(0, i - around), i + around + 1).some((r) => r.kind !== 'same'))
  const out: (Row | { fold: Row[] })[] = []
  for (let i = 0; i < rows.length; i++) {
    if (near[i]) {
      out.push(rows[i]!)
      continue
    }
    const from = i
    while (i + 1 < rows.length && !near[i + 1]) i++
    const run = rows.slice(from, i + 1)
    if (run.length > 2) out.push({ fold: run })
    else out.push(...run)
  }
  return out
}
