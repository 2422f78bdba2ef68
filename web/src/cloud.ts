// Points on a canvas: one buffer and one draw call of WebGL for all of them; where there is no WebGL,
// squares on a plain canvas.
import type { Size, View } from './places'

/** Red, green, blue and how much it covers, 0 to 255. */
export type Paint = (i: number, out: Uint8Array, at: number) => void

const POINT = 12 // bytes: x, y as floats, then the colour

const vertexSource = `
attribute vec2 at;
attribute vec4 colour;
uniform vec2 middle, scale;
uniform mediump float size;
varying mediump vec4 shade;
void main() {
  gl_Position = vec4((at - middle) * scale, 0.0, 1.0);
  gl_PointSize = size * (colour.a > 0.95 ? 1.0 : 0.8);
  shade = colour;
}`
const fragmentSource = `
precision mediump float;
varying vec4 shade;
uniform mediump float size;
void main() {
  float d = length(gl_PointCoord - 0.5) * size;
  float edge = clamp(size * 0.5 - d + 0.5, 0.0, 1.0);
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
  gl.vertexAttribPointer(0, 2, gl.FLOAT, false, POINT, 0)
  gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, POINT, 8)
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
  private readonly lost = (e: Event) => e.preventDefault()
  private readonly restored = () => {
    this.made = setUp(this.canvas)
    this.fresh = true
    this.redraw()
  }

  /** redraw: is called when the picture was lost and draw is needed. */
  constructor(private readonly canvas: HTMLCanvasElement, xy: Float32Array, private readonly redraw: () => void) {
    this.n = xy.length / 2
    this.bytes = new ArrayBuffer(this.n * POINT)
    this.floats = new Float32Array(this.bytes)
    this.colours = new Uint8Array(this.bytes)
    for (let i = 0; i < this.n; i++) {
      this.floats[3 * i] = xy[2 * i]!
      this.floats[3 * i + 1] = xy[2 * i + 1]!
    }
    this.made = setUp(canvas)
    this.plain = this.made ? null : canvas.getContext('2d')
    canvas.addEventListener('webglcontextlost', this.lost)
    canvas.addEventListener('webglcontextrestored', this.restored)
  }

  get how(): 'webgl' | 'canvas' { return this.made ? 'webgl' : 'canvas' }

  paint(paint: Paint): void {
    for (let i = 0; i < this.n; i++) paint(i, this.colours, i * POINT + 8)
    this.fresh = true
  }

  draw(v: View, s: Size, ratio: number): void {
    const width = Math.round(s.width * ratio), height = Math.round(s.height * ratio)
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width
      this.canvas.height = height
    }
    if (this.made) this.drawGl(this.made, v, s, ratio)
    else if (this.plain) this.drawPlain(this.plain, v, s, ratio)
  }

  private drawGl({ gl, uniform }: Gl, v: View, s: Size, ratio: number): void {
    if (this.fresh) gl.bufferData(gl.ARRAY_BUFFER, this.bytes, gl.STATIC_DRAW)
    this.fresh = false
    gl.viewport(0, 0, this.canvas.width, this.canvas.height)
    gl.uniform2f(uniform('middle'), v.x, v.y)
    gl.uniform2f(uniform('scale'), (2 * v.scale) / s.width, (2 * v.scale) / s.height)
    gl.uniform1f(uniform('size'), pointSize(this.n) * ratio)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT)
    gl.drawArrays(gl.POINTS, 0, this.n)
  }

  private drawPlain(c: CanvasRenderingContext2D, v: View, s: Size, ratio: number): void {
    const side = pointSize(this.n) * ratio * 0.8
    c.clearRect(0, 0, this.canvas.width, this.canvas.height)
    for (let i = 0; i < this.n; i++) {
      const x = (s.width / 2 + (this.floats[3 * i]! - v.x) * v.scale) * ratio
      const y = (s.height / 2 - (this.floats[3 * i + 1]! - v.y) * v.scale) * ratio
      if (x < -side || y < -side || x > this.canvas.width + side || y > this.canvas.height + side) continue
      const k = i * POINT + 8, b = this.colours
      c.fillStyle = `rgba(${b[k]},${b[k + 1]},${b[k + 2]},${b[k + 3]! / 255})`
      c.fillRect(x - side / 2, y - side / 2, side, side)
    }
  }

  free(): void {
    this.canvas.removeEventListener('webglcontextlost', this.lost)
    this.canvas.removeEventListener('webglcontextrestored', this.restored)
    this.made?.gl.getExtension('WEBGL_lose_context')?.loseContext()
  }
}
