// The official OpenTelemetry SDK and both of its OTLP/HTTP exporters for JavaScript, unmodified.
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { SpanKind, SpanStatusCode, context, diag, trace } from '@opentelemetry/api'

import { LoggerProvider, BatchLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto'
import { SeverityNumber } from '@opentelemetry/api-logs'

const base = process.env.CROFT_BASE
let n = 0, failed = 0
const same = (got, want, name) => {
  const good = JSON.stringify(got) === JSON.stringify(want)
  n++
  if (!good) failed++
  console.log(`${good ? 'ok' : 'not ok'} ${n} - ${name}`)
  if (!good) console.log(`# got  ${JSON.stringify(got)}\n# want ${JSON.stringify(want)}`)
}

const errors = []
const logger = { error: (...a) => errors.push(a.join(' ')), warn() {}, info() {}, debug() {}, verbose() {} }
diag.setLogger(logger)

for (const [name, Exporter, compression] of [['json', JsonExporter, 'none'],
  ['json gzip', JsonExporter, 'gzip'], ['protobuf', ProtoExporter, 'none'], ['protobuf gzip', ProtoExporter, 'gzip']]) {
  const exporter = new Exporter({ url: base + '/v1/traces', compression })
  const provider = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] })
  const tracer = provider.getTracer('croft.test', '1.0.0')
  const root = tracer.startSpan('agent', { attributes: { 'openinference.span.kind': 'AGENT' } })
  const within = trace.setSpan(context.active(), root)
  const llm = tracer.startSpan('call', { kind: SpanKind.CLIENT, attributes: {
    'openinference.span.kind': 'LLM', 'llm.model_name': 'm-1', 'llm.token_count.prompt': 7,
    'llm.token_count.completion': 5, 'score': 0.5, 'flags': [true, false], 'big': 2 ** 53 - 1,
    'llm.input_messages.0.message.role': 'user', 'llm.input_messages.0.message.content': 'Grüße 👋' } }, within)
  llm.addEvent('chunk', { i: 1 })
  llm.setStatus({ code: SpanStatusCode.ERROR, message: 'cut off' })
  llm.end()
  root.end()
  await provider.forceFlush()
  const id = root.spanContext().traceId
  const r = await (await fetch(`${base}/api/v1/runs/${id}`)).json()
  same(r.run && [r.run.name, r.run.status], ['agent', 'ok'], `${name}: the trace is there`)
  const call = r.spans?.find((s) => s.name === 'call')
  same([call?.kind, call?.status, call?.error, call?.parent], ['llm', 'error', 'cut off', root.spanContext().spanId],
    `${name}: its spans`)
  same([call?.attributes['score'], call?.attributes['flags'], call?.attributes['big'],
    call?.attributes['llm.input_messages.0.message.content']], [0.5, [true, false], 2 ** 53 - 1, 'Grüße 👋'],
    `${name}: their attributes`)
  await provider.shutdown()
}
for (const [name, Exporter, compression] of [['json', JsonLogs, 'none'], ['json gzip', JsonLogs, 'gzip'],
  ['protobuf', ProtoLogs, 'none'], ['protobuf gzip', ProtoLogs, 'gzip']]) {
  const exporter = new Exporter({ url: base + '/v1/logs', compression })
  const logs = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter })] })
  const tracer = new BasicTracerProvider().getTracer('croft.test')
  const span = tracer.startSpan('work')
  const within = trace.setSpan(context.active(), span)
  const logger = logs.getLogger('croft.js', '1.0.0')
  logger.emit({ severityNumber: SeverityNumber.WARN, severityText: 'WARN', body: 'Grüße 👋', context: within,
    attributes: { n: 7, list: ['a', 'b'], deep: { x: [1, 2.5] } } })
  logger.emit({ eventName: 'done', body: { ok: true, took: 12 }, context: within })
  await logs.forceFlush()
  const { traceId, spanId } = span.spanContext()
  const r = await (await fetch(`${base}/api/v1/runs/${traceId}/logs`)).json()
  same(r.logs?.map((l) => [l.level, l.event, l.body, l.span, l.scope]),
    [['warn', null, 'Grüße 👋', spanId, 'croft.js'], ['', 'done', { ok: true, took: 12 }, spanId, 'croft.js']],
    `${name}: log records are there`)
  same(r.logs?.[0]?.attributes, { n: 7, list: ['a', 'b'], deep: { x: [1, 2.5] } }, `${name}: their attributes`)
  await logs.shutdown()
}
same(errors, [], 'no exporter complained')
console.log(`1..${n}`)
process.exit(failed ? 1 : 0)
