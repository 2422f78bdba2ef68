// Points on a canvas: one buffer and one draw call of WebGL for all of them; where there is no WebGL,
// squares on a plain canvas.
import { flat, type Camera } from './orbit'
import type { Size } from './places'

/** Red, green, blue and how much it covers, 0 to 255. */
export type Paint = (i: number, out: Uint8Array, at: number) => void

const POINT = 16 // bytes: x, y, z as floats, then the colour

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
    for (let i = 0; i < this.n; i++)
      for (let d = 0; d < dims; d++) this.floats[4 * i + d] = at[dims * i + d]!
    this.made = setUp(canvas)
    this.plain = this.made ? null : canvas.getContext('2d')
    canvas.addEventListener('webglcontextlost', this.lost)
    canvas.addEventListener('webglcontextrestored', this.restored)
  }

  get how(): 'webgl' | 'canvas' { return this.made ? 'webgl' : 'canvas' }

  paint(paint: Paint): void {
    for (let i = 0; i < this.n; i++) paint(i, this.colours, i * POINT + 12)
    this.fresh = true
  }

  draw(c: Camera, s: Size, ratio: number): void {
    const width = Math.round(s.width * ratio), height = Math.round(s.height * ratio)
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width
      this.canvas.height = height
    }
    if (this.made) this.drawGl(this.made, c, s, ratio)
    else if (this.plain) this.drawPlain(this.plain, c, s, ratio)
  }

  private drawGl({ gl, uniform }: Gl, c: Camera, s: Size, ratio: number): void {
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
    gl.drawArrays(gl.POINTS, 0, this.n)
  }

  private drawPlain(p: CanvasRenderingContext2D, c: Camera, s: Size, ratio: number): void {
    const side = pointSize(this.n) * ratio * 0.8
    p.clearRect(0, 0, this.canvas.width, this.canvas.height)
    for (let i = 0; i < this.n; i++) {
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
