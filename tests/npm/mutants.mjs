// Values that are almost what a schema wants: the same ones in every run.

/** What any place of a value may turn into. */
const palette = [
  null, true, false, 0, 1, -1, 1.5, 7, 1e9, 4294967296, 9007199254740991, 1e21, "", "a", "A", " x ", "12", "-1", "é", "a\nb",
  "x".repeat(130), "2026-11-23", "2026-11-23T10:00:00Z", "2026-02-30T10:00:00Z", "not@mail", "a@b.co", [], [1], ["a"],
  ["a", "a"], {}, { a: "x" }, { constructor: 1 }, { nested: { deep: [null] } },
];

/** `count` variants of `examples`, by a generator seeded with `name`. */
export function mutants(name, examples, count) {
  const random = generator(name);
  const pick = list => list[Math.floor(random() * list.length)];
  const result = [];
  for (let number = 0; number < count; number++) {
    let value = structuredClone(pick(examples));
    for (let times = number % 8 === 0 ? 2 : 1; times > 0; times--) value = change(value, pick, random);
    // Half a surrogate pair is no text that a client could send.
    if (!/\\ud[89a-f]/.test(JSON.stringify(value))) result.push(value);
  }
  return result;
}

function change(value, pick, random) {
  const inside = value !== null && typeof value === "object" ? Object.keys(value) : [];
  if (inside.length > 0 && random() < 0.8) {
    const key = pick(inside);
    value[key] = change(value[key], pick, random);
    return value;
  }
  if (random() < 0.3) return structuredClone(pick(palette));
  if (Array.isArray(value)) {
    return pick([() => [...value, ...value], () => value.slice(1), () => [...value, pick(palette)]])();
  }
  if (value !== null && typeof value === "object") {
    if (inside.length > 0 && random() < 0.6) delete value[pick(inside)];
    else value[pick(["extra", "a", "z9", "__proto", "Ä"])] = structuredClone(pick(palette));
    return value;
  }
  if (typeof value === "number") {
    return pick([() => value + 1, () => -value, () => value * 2, () => value / 2, () => value + 0.001, () => 0])();
  }
  if (typeof value === "string") {
    const at = Math.floor(random() * (value.length + 1));
    return pick([
      () => value.slice(0, at) + value.slice(at + 1),
      () => value.slice(0, at) + pick(["0", "a", "Z", "-", ".", " ", "\n", "é", "/"]) + value.slice(at),
      () => value + pick(["0", "x", "\n", " "]),
      () => value.toUpperCase(),
      () => value.slice(0, at),
    ])();
  }
  return structuredClone(pick(palette));
}

/** Numbers from 0 to 1 (mulberry32), seeded with the characters of `name`. */
function generator(name) {
  let state = [...name].reduce((sum, character) => (Math.imul(sum, 31) + character.codePointAt(0)) | 0, 1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
