// Points on a canvas: one buffer and one draw call of WebGL for all of them; where there is no WebGL,
// squares on a plain canvas.
import { flat, type Camera } from './orbit'
import type { Size } from './places'

/** Red, green, blue and how much it covers, 0 to 255. */
export type Paint = (i: number, out: Uint8Array, at: number) => void

const POINT = 16 // bytes: x, y, z as floats, then the colour
const SOME = 100_000, SLOW = 40 // points while it moves, where all of them take more than so many ms

/** Coprime to n and near its golden section: steps of it visit all points, and any first part is spread over them. */
function strideOf(n: number): number {
  const gcd = (a: number, b: number): number => (b ? gcd(b, a % b) : a)
  let s = Math.max(1, Math.round(n * 0.6180339887))
  while (gcd(n, s) > 1) s++
  return s
}

const vertexSource = `
attribute vec3 at;
attribute vec4 colour;
uniform mat4 camera;
uniform mediump float size;
uniform float away;
varying mediump vec4 shade;
varying mediump float wide;
void main() {
  gl_Position = camera * vec4(at, 1.0);
  wide = size * (colour.a > 0.95 ? 1.0 : 0.8) * (away > 0.0 ? away / gl_Position.w : 1.0);
  gl_PointSize = wide;
  shade = colour;
}`
const fragmentSource = `
precision mediump float;
varying vec4 shade;
varying float wide;
uniform float solid;
void main() {
  float d = length(gl_PointCoord - 0.5) * wide;
  float edge = clamp(wide * 0.5 - d + 0.5, 0.0, 1.0);
  if (edge < solid) discard;
  gl_FragColor = vec4(shade.rgb, 1.0) * shade.a * edge;
}`

interface Gl {
  gl: WebGLRenderingContext
  uniform: (name: string) => WebGLUniformLocation | null
}

function program(gl: WebGLRenderingContext): WebGLProgram | null {
  const p = gl.createProgram()
  if (!p) return null
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]] as const) {
    const s = gl.createShader(kind)
    if (!s) return null
    gl.shaderSource(s, source)
    gl.compileShader(s)
    gl.attachShader(p, s)
  }
  gl.bindAttribLocation(p, 0, 'at')
  gl.bindAttribLocation(p, 1, 'colour')
  gl.linkProgram(p)
  return gl.getProgramParameter(p, gl.LINK_STATUS) ? p : null
}

function setUp(canvas: HTMLCanvasElement): Gl | null {
  const gl = canvas.getContext('webgl', { antialias: false, preserveDrawingBuffer: true })
  const p = gl && program(gl)
  if (!gl || !p) return null
  gl.useProgram(p)
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer())
  gl.enableVertexAttribArray(0)
  gl.enableVertexAttribArray(1)
  gl.vertexAttribPointer(0, 3, gl.FLOAT, false, POINT, 0)
  gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, POINT, 12)
  gl.enable(gl.BLEND)
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
  return { gl, uniform: (name) => gl.getUniformLocation(p, name) }
}

/** Pixels of a point: smaller the more there are. */
export const pointSize = (n: number): number => Math.max(2, Math.min(9, 260 / Math.sqrt(n + 1)))

export class Cloud {
  readonly n: number
  private readonly bytes: ArrayBuffer
  private readonly floats: Float32Array
  private readonly colours: Uint8Array
  private made: Gl | null
  private readonly plain: CanvasRenderingContext2D | null
  private fresh = true
  /** Of each place in the buffer: the point. */
  private readonly order: Uint32Array
  /** All points took long the first time: then few are drawn while it moves. */
  slow = false
  private measured = false
  private readonly lost = (e: Event) => e.preventDefault()
  private readonly restored = () => {
    this.made = setUp(this.canvas)
    this.fresh = true
    this.redraw()
  }

  /** redraw: is called when the picture was lost and draw is needed. */
  constructor(private readonly canvas: HTMLCanvasElement, at: Float32Array, dims: 2 | 3, private readonly redraw: () => void) {
    this.n = at.length / dims
    this.bytes = new ArrayBuffer(this.n * POINT)
    this.floats = new Float32Array(this.bytes)
    this.colours = new Uint8Array(this.bytes)
    this.order = new Uint32Array(this.n)
    for (let p = 0, i = 0, step = strideOf(this.n); p < this.n; p++, i = (i + step) % this.n) {
      this.order[p] = i
      for (let d = 0; d < dims; d++) this.floats[4 * p + d] = at[dims * i + d]!
    }
    this.made = setUp(canvas)
    this.plain = this.made ? null : canvas.getContext('2d')
    canvas.addEventListener('webglcontextlost', this.lost)
    canvas.addEventListener('webglcontextrestored', this.restored)
  }

  get how(): 'webgl' | 'canvas' { return this.made ? 'webgl' : 'canvas' }

  paint(paint: Paint): void {
    for (let p = 0; p < this.n; p++) paint(this.order[p]!, this.colours, p * POINT + 12)
    this.fresh = true
  }

  /** moving: more will come at once, so that few points may do. False: not all were drawn. */
  draw(c: Camera, s: Size, ratio: number, moving = false): boolean {
    const count = moving && this.slow ? Math.min(SOME, this.n) : this.n
    const width = Math.round(s.width * ratio), height = Math.round(s.height * ratio)
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width
      this.canvas.height = height
    }
    const began = performance.now()
    if (this.made) this.drawGl(this.made, c, s, ratio, count)
    else if (this.plain) this.drawPlain(this.plain, c, s, ratio, count)
    if (!this.measured && this.n > SOME) {
      this.made?.gl.readPixels(0, 0, 1, 1, this.made.gl.RGBA, this.made.gl.UNSIGNED_BYTE, new Uint8Array(4)) // waits for it
      this.slow = performance.now() - began > SLOW
      this.measured = true
    }
    return count === this.n
  }

  private drawGl({ gl, uniform }: Gl, c: Camera, s: Size, ratio: number, count: number): void {
    if (this.fresh) gl.bufferData(gl.ARRAY_BUFFER, this.bytes, gl.STATIC_DRAW)
    this.fresh = false
    gl.viewport(0, 0, this.canvas.width, this.canvas.height)
    gl.uniformMatrix4fv(uniform('camera'), false, c.matrix(s))
    gl.uniform1f(uniform('size'), pointSize(this.n) * ratio)
    gl.uniform1f(uniform('away'), c.away)
    gl.uniform1f(uniform('solid'), flat(c) ? 0 : 0.5)
    gl.clearColor(0, 0, 0, 0)
    // in space what is nearer covers; in the plane what comes later does
    if (flat(c)) gl.disable(gl.DEPTH_TEST)
    else gl.enable(gl.DEPTH_TEST)
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT)
    gl.drawArrays(gl.POINTS, 0, count)
  }

  private drawPlain(p: CanvasRenderingContext2D, c: Camera, s: Size, ratio: number, count: number): void {
    const side = pointSize(this.n) * ratio * 0.8
    p.clearRect(0, 0, this.canvas.width, this.canvas.height)
    for (let i = 0; i < count; i++) {
      const [sx, sy] = c.screen(s, this.floats[4 * i]!, this.floats[4 * i + 1]!, this.floats[4 * i + 2]!)
      const x = sx * ratio, y = sy * ratio
      if (x < -side || y < -side || x > this.canvas.width + side || y > this.canvas.height + side) continue
      const k = i * POINT + 12, b = this.colours
      p.fillStyle = `rgba(${b[k]},${b[k + 1]},${b[k + 2]},${b[k + 3]! / 255})`
      p.fillRect(x - side / 2, y - side / 2, side, side)
    }
  }

  free(): void {
    this.canvas.removeEventListener('webglcontextlost', this.lost)
    this.canvas.removeEventListener('webglcontextrestored', this.restored)
    this.made?.gl.getExtension('WEBGL_lose_context')?.loseContext()
  }
}
