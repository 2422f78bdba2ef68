// How the points of a map come onto the screen: a view of the plane, or a camera that goes round a cloud.
import { toPlane, toScreen, zoomed, type Size, type View } from './places'

export interface Camera {
  /** column by column, for WebGL */
  matrix(s: Size): Float32Array
  screen(s: Size, x: number, y: number, z: number): [number, number]
  zoomed(s: Size, px: number, py: number, factor: number): Camera
  /** By pixels: the plane moves; the cloud turns, or with `slide` moves. */
  moved(dx: number, dy: number, slide?: boolean): Camera
  /** The distance at which a point has its size; 0: it always has. */
  readonly away: number
}

/** The plane. */
export class Flat implements Camera {
  readonly away = 0
  constructor(readonly v: View) {}
  matrix(s: Size): Float32Array {
    const x = (2 * this.v.scale) / s.width, y = (2 * this.v.scale) / s.height
    return new Float32Array([x, 0, 0, 0, 0, y, 0, 0, 0, 0, 0, 0, -this.v.x * x, -this.v.y * y, 0, 1])
  }
  screen(s: Size, x: number, y: number): [number, number] { return toScreen(this.v, s, x, y) }
  plane(s: Size, px: number, py: number): [number, number] { return toPlane(this.v, s, px, py) }
  zoomed(s: Size, px: number, py: number, factor: number): Flat { return new Flat(zoomed(this.v, s, px, py, factor)) }
  moved(dx: number, dy: number): Flat { return new Flat({ ...this.v, x: this.v.x - dx / this.v.scale, y: this.v.y + dy / this.v.scale }) }
}

export const flat = (c: Camera): c is Flat => c instanceof Flat

interface Where { yaw: number; pitch: number; scale: number; x: number; y: number; z: number; radius: number }

/** Space: turned by yaw and then pitch round a middle, with scale pixels for a unit there. */
export class Orbit implements Camera {
  constructor(private readonly w: Where) {}

  static round(at: Float32Array, s: Size): Orbit {
    const n = at.length / 3, low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity]
    for (let i = 0; i < at.length; i++) {
      low[i % 3] = Math.min(low[i % 3]!, at[i]!)
      high[i % 3] = Math.max(high[i % 3]!, at[i]!)
    }
    if (!n) low.fill(0), high.fill(0)
    const [x, y, z] = low.map((v, d) => (v + high[d]!) / 2) as [number, number, number]
    const radius = Math.hypot(high[0]! - x, high[1]! - y, high[2]! - z) || 1
    return new Orbit({ yaw: 0.5, pitch: 0.35, scale: (0.46 * Math.min(s.width, s.height)) / (0.8 * radius), x, y, z, radius })
  }

  get away(): number { return 3 * this.w.radius }

  private turned(x: number, y: number, z: number): [number, number, number] {
    const { yaw, pitch } = this.w, cy = Math.cos(yaw), sy = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch)
    const dx = x - this.w.x, dy = y - this.w.y, dz = z - this.w.z
    const rx = cy * dx + sy * dz, rz = cy * dz - sy * dx
    return [rx, cp * dy - sp * rz, cp * rz + sp * dy]
  }

  screen(s: Size, x: number, y: number, z: number): [number, number] {
    const [tx, ty, tz] = this.turned(x, y, z), f = (this.w.scale * this.away) / Math.max(this.away - tz, 1e-6)
    return [s.width / 2 + tx * f, s.height / 2 - ty * f]
  }

  matrix(s: Size): Float32Array {
    const away = this.away, near = away - 1.5 * this.w.radius, far = away + 1.5 * this.w.radius
    const sx = (2 * this.w.scale * away) / s.width, sy = (2 * this.w.scale * away) / s.height
    const a = (far + near) / (far - near), b = (-2 * far * near) / (far - near)
    const at = (x: number, y: number, z: number) => {
      const [tx, ty, tz] = this.turned(x, y, z)
      return [tx * sx, ty * sy, a * (away - tz) + b, away - tz]
    }
    // what is linear in x, y and z is known by its value at four places
    const o = at(0, 0, 0), columns = [at(1, 0, 0), at(0, 1, 0), at(0, 0, 1)].map((c) => c.map((v, i) => v - o[i]!))
    return new Float32Array([...columns.flat(), ...o])
  }

  zoomed(_s: Size, _px: number, _py: number, factor: number): Orbit {
    return new Orbit({ ...this.w, scale: Math.min(Math.max(this.w.scale * factor, 1e-6), 1e9) })
  }

  moved(dx: number, dy: number, slide = false): Orbit {
    if (!slide) {
      const pitch = Math.min(Math.max(this.w.pitch + dy * 0.008, -1.55), 1.55)
      return new Orbit({ ...this.w, yaw: this.w.yaw + dx * 0.008, pitch })
    }
    const { yaw, pitch, scale } = this.w, ux = -dx / scale, uy = dy / scale
    const cy = Math.cos(yaw), sy = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch)
    return new Orbit({ ...this.w, x: this.w.x + cy * ux + sy * sp * uy, y: this.w.y + cp * uy, z: this.w.z + sy * ux - cy * sp * uy })
  }
}

/** In space: the point nearest to a place on the screen, the nearer to the eye where they cover each other. */
export function under(c: Camera, s: Size, at: Float32Array, px: number, py: number, within: number): number {
  let best = -1, least = within * within
  const m = c.matrix(s)
  for (let i = 0, k = 0; k < at.length; i++, k += 3) {
    const x = at[k]!, y = at[k + 1]!, z = at[k + 2]!
    const w = m[3]! * x + m[7]! * y + m[11]! * z + m[15]!
    const dx = ((m[0]! * x + m[4]! * y + m[8]! * z + m[12]!) / w + 1) * s.width / 2 - px
    const dy = (1 - (m[1]! * x + m[5]! * y + m[9]! * z + m[13]!) / w) * s.height / 2 - py
    const d = dx * dx + dy * dy + (w / c.away) * 1e-3
    if (d < least) {
      least = d
      best = i
    }
  }
  return best
}

/** In space: those whose places on the screen a line encloses. */
export function enclosedIn(c: Camera, s: Size, at: Float32Array, line: [number, number][]): Uint32Array {
  const found: number[] = []
  for (let i = 0; i < at.length / 3; i++) {
    const [x, y] = c.screen(s, at[3 * i]!, at[3 * i + 1]!, at[3 * i + 2]!)
    let inside = false
    for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
      const [ax, ay] = line[a]!, [bx, by] = line[b]!
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside
    }
    if (inside) found.push(i)
  }
  return Uint32Array.from(found)
}
