// node tools/oracle/regex.js SUITE [OUT]: what node's own RegExp (u flag) says about thousands of
// expressions, as golden data for tests/unit/test_text_dfa_oracle.c. SUITE is the folder `tests` of
// the JSON-Schema test suite. Everything is drawn from a fixed seed: a run on the same node writes
// the same file.
//
// Each case: p pattern, f flags ("i", or "-" for one that only RegExp without u accepts), s and w:
// hexadecimal bits, four texts a digit, the first text highest: found somewhere, and as the whole.
"use strict";
const fs = require("fs");
const path = require("path");

let state = 20231;
function rnd(n) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return Math.floor((state >>> 8) / 16777216 * n);
}
const pick = (a) => a[rnd(a.length)];

function bits(re, texts) {
  let out = "";
  for (let i = 0; i < texts.length; i += 4) {
    let d = 0;
    for (let j = 0; j < 4; j++) d = d * 2 + (i + j < texts.length && re.test(texts[i + j]) ? 1 : 0);
    out += d.toString(16);
  }
  return out;
}

function compiles(p, f) {
  try {
    return new RegExp(p, f);
  } catch {
    return null;
  }
}

// ---- cases ----
function judge(p, f, texts) {
  const flags = f === "-" ? "" : "u" + f;
  const re = compiles(p, flags);
  if (!re) return null;
  return { p, f, s: bits(re, texts), w: bits(new RegExp("^(?:" + p + ")$", flags), texts) };
}

// ---- texts ----
const letters = ["a", "b", "c", "B", "1", "_", "-", " ", "\n", "é", "ſ", "K", "😀"];
function randomTexts() {
  const texts = [""];
  for (const c of letters) texts.push(c);
  while (texts.length < 96) {
    let t = "";
    const pool = rnd(3) ? letters.slice(0, 2 + rnd(4)) : letters;
    for (let n = 1 + rnd(8); n > 0; n--) t += pick(pool);
    if (!texts.includes(t)) texts.push(t);
  }
  return texts;
}

// ---- random expressions ----
function randomClass() {
  let s = rnd(4) ? "[" : "[^";
  for (let n = rnd(4); n >= 0; n--)
    s += pick(["a", "b", "a-c", "\\d", "\\w", "\\W", "\\s", "\\S", "\\-", "1-9", "é", "\\u{1F600}", "\\p{L}", "\\P{Lu}", "\\n", "A-Z", "\\b"]);
  return s + "]";
}

function randomAtom(depth, look) {
  const k = rnd(24);
  if (k < 10) return pick(["a", "b", "c", "a", "b", "B", "1", "-", "é", "😀", "k", "s", " "]);
  if (k < 12) return pick([".", "\\d", "\\w", "\\W", "\\s", "\\S", "\\p{Lu}", "\\P{L}", "\\u0061", "\\x62", "[^]", "[]"]);
  if (k < 15) return randomClass();
  if (k < 17) return pick(["^", "$", "\\b", "\\B"]);
  if (depth <= 0) return "a";
  if (k < 22) return pick(["(", "(?:", "(?:", "(?<n" + rnd(1e6) + "_>"]) + randomRegex(depth - 1, look) + ")";
  // look-ahead inside look-behind is not supported
  const kinds = look === "behind" ? ["(?<=", "(?<!"] : ["(?=", "(?!", "(?<=", "(?<!"];
  const kind = pick(kinds);
  return kind + randomRegex(depth - 1, kind[2] === "<" ? "behind" : "ahead") + ")";
}

function randomTerm(depth, look) {
  const a = randomAtom(depth, look);
  if (rnd(3) || /^(\^|\$|\\[bB]$|\(\?[=!<])/.test(a)) return a;
  return a + pick(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "{0}"]);
}

function randomRegex(depth, look) {
  let s = "";
  for (let alt = rnd(5) ? 0 : 1 + rnd(2); alt >= 0; alt--) {
    for (let n = rnd(5); n > 0; n--) s += randomTerm(depth, look);
    if (alt) s += "|";
  }
  return s;
}

// ---- look-around, on every short text of three letters ----
function shortTexts() {
  let all = [""], last = [""];
  for (let n = 0; n < 4; n++) {
    last = last.flatMap((t) => ["a", "b", "-"].map((c) => t + c));
    all = all.concat(last);
  }
  return all;
}

function lookTerm(depth, look) {
  const k = rnd(20);
  if (k < 9 || depth <= 0) return pick(["a", "b", "-", ".", "\\w", "a*", "b?", ".*", "\\w+", "[^]", "a{0,2}"]);
  if (k < 12) return pick(["^", "$", "\\b", "\\B"]);
  if (k < 14) return "(?:" + lookRegex(depth - 1, look) + ")" + pick(["", "*", "?", "+"]);
  const kind = pick(look === "behind" ? ["(?<=", "(?<!"] : ["(?=", "(?!", "(?<=", "(?<!"]);
  return kind + lookRegex(depth - 1, kind[2] === "<" ? "behind" : look) + ")";
}

function lookRegex(depth, look) {
  let s = "";
  for (let alt = rnd(4) ? 0 : 1; alt >= 0; alt--) {
    for (let n = 1 + rnd(3); n > 0; n--) s += lookTerm(depth, look);
    if (alt) s += "|";
  }
  return s;
}

// ---- syntax: any sequence of what expressions are made of ----
const tokens = ["a", "b", "|", "(", ")", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<x>", "(?<y>", "[", "]", "[^", "-", "*", "+", "?", "{", "}", "{2}", "{2,1}", "{1,2}", "{,2}", ",", "\\", "\\d", "\\b", "\\B", "\\u", "\\u{", "\\u{61}", "\\u0061", "\\x", "\\x61", "\\c", "\\cA", "\\0", "\\00", "\\p", "\\p{L}", "\\p{Nope}", "\\P{Script=Greek}", "\\p{sc=Latn}", "\\p{Emoji}", "^", "$", ".", "\\/", "\\-", "\\.", "\\q", "/", "\\]", "\\ud83d\\ude00", "\\ud83d", "z-a", "a-z", "\\w-", "é"];
function randomTokens() {
  let s = "";
  for (let n = 1 + rnd(7); n > 0; n--) s += pick(tokens);
  return s;
}

// ---- written by hand ----
const hand = fs.readFileSync(path.join(__dirname, "regex.txt"), "utf8").split("\n").filter((l) => l && l[0] !== "#");
const loose = ["\\-", "a\\-b", "\\_x", "[\\w-.]+", "[a-\\d]", "[\\w-a-z]+", "}", "]", "a}", "{", "a{", "a{,2}", "x{a}", "\\@\\#\\ \\:\\\"\\'", "[\\@\\#]", "^[\\w.\\-]+\\@[\\w\\-]+\\.\\w{2,}$"];
const handTexts = ["", "a", "b", "ab", "aab", "abc", "foo", "foobar", "bar", "barfoo", "foo bar", "a.b", "a-b", "a_b", "-", "_", "1", "12", "123", "2024-02-29", "2023-13-01", "12:30:59", "2024-02-29T12:30:59Z", "192.168.0.1", "256.1.1.1", "::1", "user@example.com", "user.name+tag@sub.example.co.uk", "@example.com", "http://example.com/a?b=c#d", "https://example.com", "ftp://x", "/path/to/file.txt", "file.txt", "#/definitions/x", "550e8400-e29b-41d4-a716-446655440000", "DEADBEEF", "0xdeadbeef", "#fff", "#ffffff", "+1 (555) 123-4567", "(555)123-4567", "5551234567", "$1,234.56", "1.5", "-1.5e10", "1e5", "true", "null", "Password1!", "password", "PASSWORD1", "short1A", "aaaa", "abcabc", "AbC", "ÀÉ", "straße", "STRASSE", "σς", "Σ", "ſ", "K", "ß", "ẞ", "ǅ", "日本語", "日", "한국어", "русский", "Ελληνικά", "עברית", "عربى", "😀", "😀😀", "👍🏽", "é", "e\u0301", "\n", "a\nb", "\r\n", "\t", " ", "  ", " a", "a ", "\u00a0", "\u2028", "\ufeff", "\0", "\u0007", "{}", "[]", "[a]", "a|b", "\\", "a\\b", "\"quoted\"", "'", "<b>", "k=v", "a,b,c", "x,y", "}", "{", "a}", "a{", "a{,2}", "x{a}"];

// ---- single characters ----
const charPatterns = ["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", ".", "[^]", "[a-z]", "[^a-z]", "[^\\w]", "k", "s", "S", "ß", "ǆ", "Σ", "θ", "\\u0345", "\\u{10400}", "[\\u{10428}-\\u{1044F}]", "\\u{1E900}", "İ", "ı", "i", "Ω", "å"];
for (const v of ["L", "Lu", "Ll", "Lt", "LC", "Lm", "Lo", "Letter", "M", "Mn", "Mark", "Combining_Mark", "N", "Nd", "digit", "Nl", "P", "punct", "Pd", "Pc", "Ps", "S", "Sc", "Sm", "Z", "Zs", "C", "Cc", "cntrl", "Cf", "Co", "General_Category=Lu", "gc=Uppercase_Letter", "Any", "ASCII", "Script=Greek", "sc=Grek", "Script=Latin", "sc=Cyrl", "sc=Han", "sc=Hira", "sc=Zyyy", "Script=Arabic", "scx=Kana", "Script_Extensions=Greek", "scx=Deva", "Alphabetic", "Alpha", "White_Space", "space", "Emoji", "Emoji_Presentation", "EPres", "Extended_Pictographic", "ID_Start", "IDC", "XIDS", "Uppercase", "Lowercase", "Lower", "Math", "Hex_Digit", "AHex", "Ideographic", "Dash", "Quotation_Mark", "QMark", "Diacritic", "Default_Ignorable_Code_Point", "Noncharacter_Code_Point", "Regional_Indicator", "Cased", "CWL", "Case_Ignorable", "Variation_Selector", "Pattern_Syntax", "Join_Control", "Bidi_Mirrored"])
  charPatterns.push(`\\p{${v}}`, `\\P{${v}}`);
function charTexts() {
  // left out: what differs between Unicode 15 (ICU 72) and 17 (node 20)
  const moved = new Set([0xB7, 0x19B, 0x264, 0x295, 0x2BC, 0x300, 0x301, 0x304, 0x305, 0x306, 0x308, 0x313, 0x323, 0x363, 0x364, 0x365, 0x366, 0x367, 0x368, 0x369, 0x36A, 0x36B, 0x36C, 0x36D, 0x36E, 0x36F, 0x374, 0x5A2, 0x5C5, 0x5C7, 0xC5C, 0x200C, 0x200D, 0x205D, 0x20C1, 0x262B, 0x26ED, 0x30FB, 0xFDC9, 0x1F39C, 0x1F3F6, 0x1F4FE, 0x1F546, 0x1F54F, 0x1F56A, 0x1F56D, 0x1F57C, 0x1F57F, 0x1F582, 0x1F585, 0x1F588, 0x1F58E, 0x1F591, 0x1F594, 0x1F597, 0x1F59A, 0x1F59D, 0x1F5A0, 0x1F5A3, 0x1F5A6, 0x1F5A9, 0x1F5AC, 0x1F5AF, 0x1F5B5, 0x1F5B8, 0x1F5BB, 0x1F5BE, 0x1F5C1, 0x1F5C7, 0x1F5CA, 0x1F5CD, 0x1F5D0, 0x1F5D6, 0x1F5D9, 0x1F5DF, 0x1F5E2, 0x1F5E5, 0x1F5EB, 0x1F5EE, 0x1F5F1, 0x1F5F4, 0x1F5F7]);
  const cps = [];
  for (let c = 0; c < 0x600; c++) cps.push(c);
  for (let c = 0x900; c < 0x1000; c += 5) cps.push(c);
  for (let c = 0x1E00; c < 0x2200; c++) cps.push(c);
  for (let c = 0x2200; c < 0xD800; c += 97) cps.push(c);
  for (let c = 0xE000; c < 0xFFF0; c += 61) cps.push(c);
  for (let c = 0x3040; c < 0x3100; c++) cps.push(c);
  for (let c = 0x10400; c < 0x10450; c++) cps.push(c);
  for (let c = 0x1F300; c < 0x1F650; c += 3) cps.push(c);
  for (let c = 0x1F1E6; c < 0x1F200; c++) cps.push(c);
  for (const c of [0xFB05, 0xFB06, 0xFEFF, 0xFFFD, 0xFFFF, 0x10000, 0x1D400, 0x1E900, 0x1E922, 0x20000, 0xE0100, 0xF0000, 0x10FFFF]) cps.push(c);
  return cps.filter((c) => !moved.has(c)).map((c) => String.fromCodePoint(c));
}

// ---- the JSON-Schema suite ----
function suiteCases(folder) {
  const found = new Map(); // pattern -> texts
  const add = (p, t) => {
    if (!found.has(p)) found.set(p, new Set(["", "a", "foo"]));
    if (typeof t === "string") found.get(p).add(t);
  };
  function patternsOf(schema, into) {
    if (!schema || typeof schema !== "object") return;
    if (typeof schema.pattern === "string") into.add(schema.pattern);
    if (schema.patternProperties && typeof schema.patternProperties === "object") for (const k of Object.keys(schema.patternProperties)) into.add(k);
    for (const v of Object.values(schema)) patternsOf(v, into);
  }
  function stringsOf(v, into) {
    if (typeof v === "string") into.add(v);
    else if (v && typeof v === "object")
      for (const [k, x] of Object.entries(v)) {
        into.add(k);
        stringsOf(x, into);
      }
  }
  function walk(dir) {
    for (const e of fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = path.join(dir, e.name);
      if (e.isDirectory()) walk(file);
      else if (e.name.endsWith(".json"))
        for (const group of JSON.parse(fs.readFileSync(file, "utf8"))) {
          const patterns = new Set(), strings = new Set();
          patternsOf(group.schema, patterns);
          for (const t of group.tests || []) stringsOf(t.data, strings);
          for (const p of patterns) for (const t of strings.size ? strings : [""]) add(p, t);
        }
    }
  }
  walk(folder);
  const out = [];
  for (const [p, set] of found) {
    const texts = [...set].filter((t) => t.isWellFormed()).slice(0, 64);
    for (const f of ["", "i"]) {
      const c = judge(p, f, texts);
      if (c) out.push({ ...c, t: texts });
      else if (!f) process.stderr.write(`not with u: ${p}\n`);
    }
  }
  return out;
}

function main() {
  const groups = [];
  const texts = randomTexts(), random = [];
  while (random.length < 4000) {
    const c = judge(randomRegex(3, ""), rnd(4) ? "" : "i", texts);
    if (c && c.p.length < 80) random.push(c);
  }
  groups.push({ name: "random", texts, cases: random });
  const short = shortTexts(), looks = [];
  while (looks.length < 3000) {
    const c = judge(lookRegex(3, ""), "", short);
    if (c && c.p.length < 70 && c.p.includes("(?=") + c.p.includes("(?!") + c.p.includes("(?<") > 0) looks.push(c);
  }
  groups.push({ name: "looks", texts: short, cases: looks });
  const byHand = [];
  for (const p of hand) for (const f of ["", "i"]) {
    const c = judge(p, f, handTexts);
    if (!c) throw new Error("not accepted: " + p);
    byHand.push(c);
  }
  for (const p of loose) {
    if (compiles(p, "u")) throw new Error("accepted with u: " + p);
    byHand.push(judge(p, "-", handTexts));
  }
  groups.push({ name: "hand", texts: handTexts, cases: byHand });
  const chars = charTexts();
  groups.push({ name: "characters", texts: chars, cases: charPatterns.flatMap((p) => ["", "i"].map((f) => judge(p, f, chars))) });
  groups.push({ name: "suite", texts: [], cases: suiteCases(process.argv[2]) });
  const syntax = [];
  const seen = new Set();
  while (syntax.length < 3000) {
    const p = randomTokens();
    if (seen.has(p)) continue;
    seen.add(p);
    const u = !!compiles(p, "u"), plain = !!compiles(p, "");
    // without the flag \u{61} is 61 letters u; escaped punctuation is read with the flag as well
    if (u || (!plain && !p.includes("\\u{") && !compiles(p.replaceAll("\\-", "-"), "u"))) syntax.push({ p, ok: u });
  }
  // one line a case: a difference can be read
  let out = `{"node": ${JSON.stringify(process.version)}, "unicode": ${JSON.stringify(process.versions.unicode)}, "groups": [\n`;
  groups.forEach((g, i) => {
    out += `{"name": ${JSON.stringify(g.name)}, "texts": ${JSON.stringify(g.texts)}, "cases": [\n${g.cases.map((c) => JSON.stringify(c)).join(",\n")}\n]}${i + 1 < groups.length ? "," : ""}\n`;
  });
  out += `], "syntax": [\n${syntax.map((c) => JSON.stringify(c)).join(",\n")}\n]}\n`;
  fs.writeFileSync(process.argv[3] || path.join(__dirname, "../../tests/golden/regex/node.json"), out);
}
main();
