// The pairing code as it is typed (the station judges it again): Crockford's alphabet, and a check
// symbol over GF(2^5) with x^5 + x^2 + 1 and α = 2, so that a typing error costs no try.

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ALIKE = { O: "0", I: "1", L: "1" };
const LONG = 9;
const SHORT = 6;
const SUM = 9;

const twice = (value) => (value & 16 ? ((value << 1) ^ 0b100101) & 31 : value << 1);

function fits(symbols) {
  // Horner's rule from the last symbol, which has the highest power.
  const values = [...symbols].map((symbol) => ALPHABET.indexOf(symbol));
  return values.reduceRight((sum, value) => twice(sum) ^ value, 0) === SUM;
}

/**
 * Judges what has been typed so far: `{ symbols, state, wrong? }`, where state is `empty`, `letterU`,
 * `symbol`, `short` (nothing is missing in the short form, three in the long), `more`, `long`, `typo` or `good`.
 */
export function judge(typed) {
  const plain = typed.toUpperCase().replace(/[\s-]/g, "");
  const symbols = [...plain].map((symbol) => ALIKE[symbol] ?? symbol).join("");
  const wrong = [...symbols].find((symbol) => !ALPHABET.includes(symbol));
  if (symbols === "") return { symbols, state: "empty" };
  if (wrong === "U") return { symbols, state: "letterU" };
  if (wrong !== undefined) return { symbols, state: "symbol", wrong };
  if (symbols.length > LONG) return { symbols, state: "long" };
  if (symbols.length === SHORT) return { symbols, state: "short" };
  if (symbols.length < LONG) return { symbols, state: "more" };
  return { symbols, state: fits(symbols) ? "good" : "typo" };
}

/** As the monitor shows it: in groups of three, or six together. */
export const grouped = (symbols) =>
  symbols.length <= SHORT ? symbols : symbols.match(/.{1,3}/g).join("-");
