// Offsets in the API are bytes of UTF-8; strings here are UTF-16. A Text holds the bytes and cuts
// them where an offset says, never inside a character.

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

export class Text {
  readonly bytes: Uint8Array
  constructor(text: string) {
    this.bytes = encoder.encode(text)
  }

  get length(): number {
    return this.bytes.length
  }

  /** The offset, or the start of the character that it falls into. */
  floor(at: number): number {
    at = Math.max(0, Math.min(at, this.length))
    while (at > 0 && at < this.length && (this.bytes[at]! & 0xc0) === 0x80) at--
    return at
  }

  slice(from: number, to: number): string {
    return decoder.decode(this.bytes.subarray(this.floor(from), this.floor(to)))
  }
}

/** The byte offset of a string's index. */
export const byteOffset = (text: string, index: number): number =>
  encoder.encode(text.slice(0, index)).length

/** The string's index of a byte offset. */
export const stringIndex = (text: string, offset: number): number =>
  decoder.decode(encoder.encode(text).subarray(0, offset)).length
