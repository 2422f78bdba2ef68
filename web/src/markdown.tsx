// An answer as the model wrote it: paragraphs, lists, code, bold, and [n] citations as links. It
// reads a little Markdown and shows everything else as it is; nothing becomes markup.
import type { ComponentChildren } from 'preact'

interface Piece {
  kind: 'text' | 'bullet' | 'number' | 'code' | 'heading'
  from: number // index of `text` in the answer
  text: string
}

export function pieces(answer: string): Piece[] {
  const out: Piece[] = []
  let at = 0
  let fence: Piece | null = null
  let open: Piece | null = null // the paragraph that a next line continues
  for (const line of answer.split('\n')) {
    const from = at
    at += line.length + 1
    if (/^\s*```/.test(line)) {
      if (!fence) out.push((fence = { kind: 'code', from: at, text: '' }))
      else fence = null
      open = null
      continue
    }
    if (fence) {
      fence.text += (fence.text ? '\n' : '') + line
      continue
    }
    const mark = /^\s*(?:([-*•])|\d+[.)]|(#{1,6}))\s+/.exec(line)
    const text = line.slice(mark?.[0].length ?? 0)
    if (!line.trim()) open = null
    else if (mark) {
      const kind = mark[1] ? 'bullet' : mark[2] ? 'heading' : 'number'
      out.push({ kind, from: from + mark[0].length, text })
      open = null
    } else if (open) open.text = answer.slice(open.from, at - 1)
    else out.push((open = { kind: 'text', from, text }))
  }
  return out
}

export interface Marks {
  /** What stands for citation n at this index of the text; null: leave the brackets. */
  cite: (n: number, index: number) => ComponentChildren
  /** Indexes of the text at whose place something is put in, and what. */
  at: number[]
  put: (index: number) => ComponentChildren
}

export function Markdown({ text, marks }: { text: string; marks: Marks }) {
  const out: ComponentChildren[] = []
  const all = pieces(text)
  for (let i = 0; i < all.length; i++) {
    const p = all[i]!
    if (p.kind === 'bullet' || p.kind === 'number') {
      const items: Piece[] = []
      while (i < all.length && all[i]!.kind === p.kind) items.push(all[i++]!)
      i--
      const List = p.kind === 'bullet' ? 'ul' : 'ol'
      out.push(<List>{items.map((it) => <li>{inline(it, marks)}</li>)}</List>)
    } else if (p.kind === 'code') out.push(<pre tabIndex={0}><code>{p.text}</code></pre>)
    else if (p.kind === 'heading') out.push(<h4>{inline(p, marks)}</h4>)
    else out.push(<p>{inline(p, marks)}</p>)
  }
  return <>{out}</>
}

function inline(piece: Piece, marks: Marks): ComponentChildren[] {
  const out: ComponentChildren[] = []
  let done = 0
  const plain = (to: number) => {
    for (const at of marks.at) {
      const i = at - piece.from
      if (i <= done || i > to) continue
      out.push(piece.text.slice(done, i), marks.put(at))
      done = i
    }
    out.push(piece.text.slice(done, to))
    done = to
  }
  for (const m of piece.text.matchAll(/`([^`]+)`|\*\*([^*]+)\*\*|\[(\d+(?:\s*[,;]\s*\d+)*)\]/g)) {
    plain(m.index)
    if (m[1]) out.push(<code>{m[1]}</code>)
    else if (m[2]) {
      const inner = { ...piece, text: m[2], from: piece.from + m.index + 2 }
      out.push(<strong>{inline(inner, marks)}</strong>)
    } else {
      const chips = m[3]!.split(/[,;]/).map((n) => marks.cite(Number(n), piece.from + m.index))
      out.push(chips.every((c) => c !== null) ? <span class="cites">{chips}</span> : m[0])
    }
    done = m.index + m[0].length
  }
  plain(piece.text.length)
  return out
}
