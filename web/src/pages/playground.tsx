import { useEffect, useRef, useState } from 'preact/hooks'
import { call, hasKey } from '../api'
import { AnswerOf, Copy } from '../play_answer'
import {
  addSide, ask, changeSetup, changeSide, clearTurns, messagesOf, play, removeSide, setDraft, sideIsOpen,
  SIDES_MAX, stopAll, takeBack, type PlaySide,
} from '../playing'
import {
  curlOf, parameterRows, pythonOf, requestOf, schemaProblem, setupProblem, toolsProblem, type Format,
  type Setup, type ToolChoice,
} from '../play_request'
import { useStore } from '../store'
import { Button, Choice, Dialog, Failure, Field, Icon, PageHead, useLoad } from '../ui'

export function PlaygroundPage() {
  const p = useStore(play)
  const models = useLoad((signal) => call('GET /v1/models', { signal }), [])
  const [code, setCode] = useState(false)
  const names = (models.data?.data ?? []).filter((m) => m.purpose !== 'embed' && m.purpose !== 'rerank').map((m) => m.id)
  const open = p.sides.some(sideIsOpen)
  const any = p.sides.some((s) => s.turns.length)
  const send = () => {
    if (!p.draft.trim()) return document.getElementById('prompt')?.focus()
    if (!setupProblem(p.setup)) ask(p.draft)
  }
  return (
    <div class={`play sides-${p.sides.length}`} onKeyDown={(e) => {
      if (e.key !== 'Enter' || !(e.ctrlKey || e.metaKey) || e.isComposing) return
      e.preventDefault()
      send()
    }}>
      <PageHead title="Playground" sub="One prompt, up to four models or settings side by side.">
        <Button icon="columns" disabled={p.sides.length >= SIDES_MAX} onClick={addSide}>Add a side</Button>
        <Button icon="link" onClick={() => setCode(true)}>As code</Button>
        <Button icon="trash" kind="quiet" disabled={!any} onClick={clearTurns}>Clear</Button>
      </PageHead>
      {models.error && <Failure error={models.error} retry={models.reload} />}
      <SetupPart setup={p.setup} />
      {any && p.sides.some((s) => s.probabilities) && <Legend on={p.coloured} />}
      <div class="play-sides">
        {p.sides.map((s, i) => (
          <SideView key={s.id} side={s} n={i + 1} of={p.sides.length} names={names} coloured={p.coloured} />
        ))}
      </div>
      <PromptBox draft={p.draft} open={open} any={any} problem={setupProblem(p.setup)} send={send} />
      {code && <CodeDialog onClose={() => setCode(false)} />}
    </div>
  )
}

// ---- what all sides share

const formats = [['text', 'Text'], ['json_object', 'JSON'], ['json_schema', 'JSON by a schema']] as const
const choices = [['auto', 'if it likes'], ['required', 'at least one'], ['none', 'none of them']] as const

function SetupPart({ setup }: { setup: Setup }) {
  const wrong = setup.format === 'json_schema' ? schemaProblem(setup.schema) : null
  const toolsWrong = toolsProblem(setup.tools)
  return (
    <div class="play-setup">
      <Field label="System prompt">
        <textarea rows={3} value={setup.system} placeholder="You are …"
          onInput={(e) => changeSetup({ system: e.currentTarget.value })} />
      </Field>
      <div>
        <Field label="The answer is">
          <select value={setup.format} onChange={(e) => changeSetup({ format: e.currentTarget.value as Format })}>
            {formats.map(([v, text]) => <option key={v} value={v}>{text}</option>)}
          </select>
        </Field>
        {setup.format === 'json_schema' && (
          <Area label="JSON Schema" value={setup.schema} wrong={wrong} rows={6}
            placeholder={'{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'}
            onInput={(schema) => changeSetup({ schema })} />
        )}
        <details open={!!setup.tools}>
          <summary class="small">Tools</summary>
          <Area label="Tools, as OpenAI writes them" value={setup.tools} wrong={toolsWrong} rows={6}
            placeholder={'[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]'}
            onInput={(tools) => changeSetup({ tools })} />
          <Field label="The model calls">
            <select value={setup.toolChoice}
              onChange={(e) => changeSetup({ toolChoice: e.currentTarget.value as ToolChoice })}>
              {choices.map(([v, text]) => <option key={v} value={v}>{text}</option>)}
            </select>
          </Field>
        </details>
      </div>
    </div>
  )
}

function Area({ label, value, wrong, rows, placeholder, onInput }: {
  label: string; value: string; wrong: string | null; rows: number; placeholder: string
  onInput: (v: string) => void
}) {
  return (
    <Field label={label}>
      <textarea class="code" rows={rows} value={value} placeholder={placeholder} spellcheck={false}
        aria-invalid={!!wrong} onInput={(e) => onInput(e.currentTarget.value)} />
      {wrong && <span class="reason">{wrong}</span>}
    </Field>
  )
}

function Legend({ on }: { on: boolean }) {
  return (
    <p class="play-legend small dim">
      <label>
        <input type="checkbox" checked={on} onChange={(e) => {
          const coloured = e.currentTarget.checked
          play.set((p) => ({ ...p, coloured }))
        }} /> Colour by probability
      </label>
      {on && <span class="play-text coloured" aria-hidden="true">
        <span class="p0">under 10 %</span> <span class="p1">35 %</span> <span class="p2">65 %</span> <span class="p3">90 %</span> <span class="p4">above</span>
      </span>}
      <span>Point at a word, or go there with the arrow keys.</span>
    </p>
  )
}

// ---- a side

function SideView({ side: s, n, of, names, coloured }: {
  side: PlaySide; n: number; of: number; names: string[]; coloured: boolean
}) {
  const [setting, setSetting] = useState(false)
  const name = of > 1 ? `side ${n}` : 'the answer'
  const set = [...parameterRows.filter(([k]) => s.parameters[k]).map(([k, label]) => `${label.toLowerCase()} ${s.parameters[k]}`),
    ...(s.parameters.stop ? ['stops'] : [])]
  return (
    <section class="play-side" aria-label={of > 1 ? `Side ${n}` : 'Conversation'}>
      <header>
        <select aria-label={`Model of ${name}`} value={s.model}
          onChange={(e) => changeSide(s.id, { model: e.currentTarget.value })}>
          <option value="">The default model</option>
          {[...new Set([...names, ...(s.model ? [s.model] : [])])].map((m) => <option key={m} value={m}>{m}</option>)}
        </select>
        <Button icon="settings" kind="quiet" label={`Settings of ${name}`} aria-expanded={setting}
          onClick={() => setSetting(!setting)} />
        {of > 1 && <Button icon="close" kind="quiet" label={`Remove side ${n}`} onClick={() => removeSide(s.id)} />}
      </header>
      {setting ? <ParameterFields side={s} /> : set.length > 0 && <p class="small dim play-set">{set.join(' · ')}</p>}
      {s.turns.map((t, i) => (
        <div key={i} class="play-turn">
          {t.prompt !== null && <p class="play-prompt">{t.prompt}</p>}
          {t.results.map((r) => <p key={r.id} class="play-prompt result">{r.content}</p>)}
          <AnswerOf side={s.id} turn={t} last={i === s.turns.length - 1} coloured={coloured && s.probabilities} />
        </div>
      ))}
      {!s.turns.length && <p class="dim play-empty">Nothing asked yet.</p>}
    </section>
  )
}

function ParameterFields({ side: s }: { side: PlaySide }) {
  const change = (part: PlaySide['parameters']) => changeSide(s.id, { parameters: { ...s.parameters, ...part } })
  return (
    <div class="play-parameters">
      {parameterRows.map(([key, label, bounds]) => (
        <Field key={key} label={label}>
          <input type="number" inputmode="decimal" value={s.parameters[key] ?? ''} {...bounds}
            placeholder="default" onInput={(e) => change({ [key]: e.currentTarget.value })} />
        </Field>
      ))}
      <Field label="Stop at (one a line)">
        <textarea rows={1} value={s.parameters.stop ?? ''} spellcheck={false}
          onInput={(e) => change({ stop: e.currentTarget.value })} />
      </Field>
      <label class="play-check">
        <input type="checkbox" checked={s.probabilities}
          onChange={(e) => changeSide(s.id, { probabilities: e.currentTarget.checked })} /> Token probabilities
      </label>
    </div>
  )
}

// ---- the prompt

function PromptBox({ draft, open, any, problem, send }: {
  draft: string; open: boolean; any: boolean; problem: string | null; send: () => void
}) {
  const box = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    const b = box.current!
    b.style.height = 'auto'
    b.style.height = `${b.scrollHeight}px`
  }, [draft])
  return (
    <form class="ask-box play-box" aria-label="Prompt" onSubmit={(e) => { e.preventDefault(); send() }}>
      <textarea ref={box} id="prompt" rows={1} value={draft} placeholder="Say something" aria-label="Prompt"
        onInput={(e) => setDraft(e.currentTarget.value)} />
      <div class="ask-row">
        {any && <Button icon="left" kind="quiet" title="Take the last prompt back, to change it" onClick={takeBack}>Take back</Button>}
        <span class="hint dim">{problem ? <span class="reason"><Icon name="warn" /> Not sent: see above</span>
          : <><kbd>Ctrl</kbd> <kbd>Enter</kbd> sends</>}</span>
        {open && <Button icon="stop" onClick={stopAll}>Stop</Button>}
        <Button icon="send" kind="main" type="submit" disabled={!!problem}>Send</Button>
      </div>
    </form>
  )
}

// ---- as code

const languages = [['curl', 'curl'], ['python', 'Python']] as const

function CodeDialog({ onClose }: { onClose: () => void }) {
  const p = useStore(play)
  const [language, setLanguage] = useState<'curl' | 'python'>('curl')
  const [id, setId] = useState(p.sides[0]!.id)
  const side = p.sides.find((s) => s.id === id) ?? p.sides[0]!
  const problem = setupProblem(p.setup)
  return (
    <Dialog title="As code" onClose={onClose} actions={<Button onClick={onClose}>Close</Button>}>
      <div class="toolbar">
        <Choice label="Language" value={language} options={languages} onChange={setLanguage} />
        {p.sides.length > 1 && (
          <select aria-label="Side" value={String(id)} onChange={(e) => setId(Number(e.currentTarget.value))}>
            {p.sides.map((s, i) => <option key={s.id} value={String(s.id)}>Side {i + 1}</option>)}
          </select>
        )}
      </div>
      {problem ? <p class="reason" role="alert"><Icon name="warn" /> {problem}</p>
        : <Code side={side} setup={p.setup} draft={p.draft} language={language} />}
    </Dialog>
  )
}

function Code({ side, setup, draft, language }: {
  side: PlaySide; setup: Setup; draft: string; language: 'curl' | 'python'
}) {
  // what would be sent now, or what was sent last
  const messages = messagesOf(draft.trim() || !side.turns.length
    ? [...side.turns, { prompt: draft.trim() ? draft : 'Say something', results: [], answer: null! }] : side.turns)
  const body = requestOf(setup, side, messages)
  const text = (language === 'curl' ? curlOf : pythonOf)(body, location.origin, hasKey())
  return (
    <>
      <pre class="play-code" tabIndex={0}>{text}</pre>
      <p><Copy text={text} /></p>
    </>
  )
}
