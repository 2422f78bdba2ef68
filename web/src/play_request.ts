// What the playground asks for, as a request of OpenAI's chat completions and as code.

/** As they stand in the fields; "" is not sent. */
export const parameterRows = [
  ['temperature', 'Temperature', { min: 0, max: 2, step: 0.1 }],
  ['top_p', 'Top p', { min: 0, max: 1, step: 0.05 }],
  ['top_k', 'Top k', { min: 0, step: 1 }],
  ['min_p', 'Min p', { min: 0, max: 1, step: 0.01 }],
  ['repeat_penalty', 'Repeat penalty', { min: 0, max: 10, step: 0.05 }],
  ['presence_penalty', 'Presence penalty', { min: -2, max: 2, step: 0.1 }],
  ['frequency_penalty', 'Frequency penalty', { min: -2, max: 2, step: 0.1 }],
  ['max_tokens', 'Most tokens', { min: 1, step: 1 }],
  ['seed', 'Seed', { step: 1 }],
] as const
export type Parameter = (typeof parameterRows)[number][0]
export type Parameters = Partial<Record<Parameter, string>> & { stop?: string }

export type Format = 'text' | 'json_object' | 'json_schema'
export type ToolChoice = 'auto' | 'none' | 'required'

/** What all sides share. */
export interface Setup {
  system: string
  format: Format
  schema: string
  tools: string
  toolChoice: ToolChoice
}

export interface ToolCall { id: string; name: string; arguments: string }

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string | null
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[]
  tool_call_id?: string
}

export interface Side { model: string; parameters: Parameters; probabilities: boolean }

export const ALTERNATIVES = 5

const complaint = (e: unknown): string => (e instanceof Error ? e.message : String(e))

/** What is wrong with a schema, or null. */
export function schemaProblem(text: string): string | null {
  if (!text.trim()) return 'A schema is needed: {"type": "object", ...}'
  try {
    const schema: unknown = JSON.parse(text)
    return schema && typeof schema === 'object' && !Array.isArray(schema) ? null : 'A schema is an object.'
  } catch (e) {
    return complaint(e)
  }
}

/** What is wrong with tools, or null; "" is none of them. */
export function toolsProblem(text: string): string | null {
  if (!text.trim()) return null
  try {
    return Array.isArray(JSON.parse(text)) ? null : 'Tools are a list: [{"type": "function", "function": {...}}]'
  } catch (e) {
    return complaint(e)
  }
}

/** Why nothing can be sent, or null. */
export const setupProblem = (s: Setup): string | null =>
  (s.format === 'json_schema' ? schemaProblem(s.schema) : null) ?? toolsProblem(s.tools)

/** The body of POST /v1/chat/completions. Throws when setupProblem() is not null. */
export function requestOf(setup: Setup, side: Side, messages: Message[]): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  if (side.model) body.model = side.model
  body.messages = setup.system.trim()
    ? [{ role: 'system', content: setup.system }, ...messages] : messages
  for (const [name] of parameterRows) {
    const value = side.parameters[name]?.trim()
    if (value && Number.isFinite(Number(value))) body[name] = Number(value)
  }
  const stops = (side.parameters.stop ?? '').split('\n').filter(Boolean)
  if (stops.length) body.stop = stops
  if (setup.format === 'json_object') body.response_format = { type: 'json_object' }
  if (setup.format === 'json_schema')
    body.response_format = { type: 'json_schema',
      json_schema: { name: 'answer', strict: true, schema: JSON.parse(setup.schema) } }
  if (setup.tools.trim()) {
    body.tools = JSON.parse(setup.tools)
    if (setup.toolChoice !== 'auto') body.tool_choice = setup.toolChoice
  }
  if (side.probabilities) {
    body.logprobs = true
    body.top_logprobs = ALTERNATIVES
  }
  return body
}

// ---- as code

const shellQuoted = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`

export function curlOf(body: object, origin: string, withKey: boolean): string {
  return [
    `curl -N ${shellQuoted(`${origin}/v1/chat/completions`)} \\`,
    ...(withKey ? ['  -H "Authorization: Bearer $CROFT_API_KEY" \\'] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d ${shellQuoted(JSON.stringify({ ...body, stream: true }, null, 2))}`,
  ].join('\n')
}

/** A value as Python writes it. JSON's strings are Python's, but for lone surrogates. */
export function python(value: unknown, indent = ''): string {
  if (value === null || value === undefined) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value !== 'object') return JSON.stringify(value)
  const inner = `${indent}    `
  const parts = Array.isArray(value) ? value.map((v) => python(v, inner))
    : Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${python(v, inner)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  const line = `${open}${parts.join(', ')}${close}`
  if (line.length + indent.length <= 88 && !line.includes('\n')) return line
  return `${open}\n${parts.map((p) => `${inner}${p},\n`).join('')}${indent}${close}`
}

/** Parameters that OpenAI's client does not know by name. */
const OURS = ['top_k', 'min_p', 'repeat_penalty']

export function pythonOf(body: Record<string, unknown>, origin: string, withKey: boolean): string {
  const named: [string, unknown][] = Object.entries({ model: 'default', ...body } as object).filter(([k]) => !OURS.includes(k))
  const ours = Object.entries(body).filter(([k]) => OURS.includes(k))
  if (ours.length) named.push(['extra_body', Object.fromEntries(ours)])
  return [
    ...(withKey ? ['import os', ''] : []),
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url=${JSON.stringify(`${origin}/v1`)}, api_key=${withKey ? 'os.environ["CROFT_API_KEY"]' : '"none"'})`,
    'stream = client.chat.completions.create(',
    ...named.map(([k, v]) => `    ${k}=${python(v, '    ')},`),
    '    stream=True,',
    ')',
    'for chunk in stream:',
    '    if chunk.choices and chunk.choices[0].delta.content:',
    '        print(chunk.choices[0].delta.content, end="", flush=True)',
    'print()',
  ].join('\n')
}
