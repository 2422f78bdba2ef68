// What comes back of one request of the playground, gathered from its chunks.
import type { ToolCall } from './play_request'

export interface Token { text: string; logprob: number; top: { text: string; logprob: number }[] }
/** A piece of the text and the tokens that wrote it; a character may take several. */
export interface Piece { text: string; tokens: Token[] }

export interface Gathered {
  pieces: Piece[]
  reasoning: string
  calls: ToolCall[]
  finish: string | null
  /** Tokens of the answer so far; the server's own number once it is known. */
  tokens: number
  promptTokens: number | null
  cachedTokens: number
}

export const nothing = (): Gathered => ({
  pieces: [], reasoning: '', calls: [], finish: null, tokens: 0, promptTokens: null, cachedTokens: 0 })

interface WireToken { token: string; logprob: number; top_logprobs?: { token: string; logprob: number }[] }
export interface Chunk {
  error?: { code?: string | null; message: string }
  choices?: {
    delta?: {
      content?: string | null
      reasoning_content?: string | null
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[]
    }
    logprobs?: { content?: WireToken[] | null } | null
    finish_reason?: string | null
  }[]
  usage?: {
    prompt_tokens: number; completion_tokens: number
    prompt_tokens_details?: { cached_tokens?: number } | null
  } | null
}

const tokenOf = (t: WireToken): Token => ({ text: t.token, logprob: t.logprob,
  top: (t.top_logprobs ?? []).map((o) => ({ text: o.token, logprob: o.logprob })) })

/** Text without its tokens follows the piece before it when that waits for none either. */
function addText(pieces: Piece[], text: string, tokens: Token[]): void {
  const last = pieces.at(-1)
  // bytes of a character that was not whole yet: its tokens belong to the text that comes now
  if (last && !last.text && last.tokens.length) {
    last.text = text
    last.tokens.push(...tokens)
  } else if (last && !tokens.length && !last.tokens.length) last.text += text
  else if (text || tokens.length) pieces.push({ text, tokens })
}

/** Takes one chunk; true when something of the answer came with it. */
export function gather(g: Gathered, chunk: Chunk): boolean {
  let came = false
  const choice = chunk.choices?.[0]
  const { content, reasoning_content: reasoning, tool_calls: calls } = choice?.delta ?? {}
  const tokens = (choice?.logprobs?.content ?? []).map(tokenOf)
  if (content || tokens.length) {
    addText(g.pieces, content ?? '', tokens)
    came = true
  }
  if (reasoning) {
    g.reasoning += reasoning
    came = true
  }
  for (const c of calls ?? []) {
    const call = (g.calls[c.index] ??= { id: '', name: '', arguments: '' })
    call.id ||= c.id ?? ''
    call.name ||= c.function?.name ?? ''
    call.arguments += c.function?.arguments ?? ''
    came = true
  }
  if (came) g.tokens += Math.max(tokens.length, 1)
  if (choice?.finish_reason) g.finish = choice.finish_reason
  if (chunk.usage) {
    g.tokens = chunk.usage.completion_tokens
    g.promptTokens = chunk.usage.prompt_tokens
    g.cachedTokens = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0
  }
  return came
}

export const textOf = (g: Gathered): string => g.pieces.map((p) => p.text).join('')

/** Of all tokens that wrote the piece: how likely they were, one after the other. */
export const probability = (tokens: Token[]): number =>
  Math.exp(tokens.reduce((sum, t) => sum + t.logprob, 0))

/** Five shades: 0 is the least likely. */
export const shade = (p: number): number => (p < 0.1 ? 0 : p < 0.35 ? 1 : p < 0.65 ? 2 : p < 0.9 ? 3 : 4)

const RATE_MS = 25 // less than that: they came together, and the clock says nothing

/** Tokens a second after the first one; null when that says nothing. */
export const rate = (tokens: number, firstMs: number | undefined, endMs: number): number | null =>
  firstMs === undefined || tokens < 2 || endMs - firstMs < RATE_MS ? null : ((tokens - 1) * 1000) / (endMs - firstMs)
