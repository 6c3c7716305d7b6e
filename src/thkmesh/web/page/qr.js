/**
 * QR codes (ISO/IEC 18004) for links: bytes, error correction level M, versions 1 to 10.
 *
 * A code is a square of modules, true where it is dark. Text becomes codewords, the
 * codewords get error correction (Reed-Solomon over GF(256)) and are interleaved, and
 * fill the square in zigzags around its fixed patterns. Of eight masks the one wins
 * that leaves the fewest features a reader could mistake for something else.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {boolean[][]} Modules rows from top to bottom */

/** Per version: error correction codewords of a block, and how many blocks. */
const BLOCKS = /** @type {[number, number][]} */ ([
  [0, 0], [10, 1], [16, 1], [26, 1], [18, 2], [24, 2], [16, 4], [18, 4], [22, 4], [22, 5], [26, 5],
]);
const VERSIONS = BLOCKS.length - 1;

/** @type {((row: number, column: number) => boolean)[]} */
const MASKS = [
  (r, c) => (r + c) % 2 === 0,
  (r) => r % 2 === 0,
  (_, c) => c % 3 === 0,
  (r, c) => (r + c) % 3 === 0,
  (r, c) => (Math.floor(r / 2) + Math.floor(c / 3)) % 2 === 0,
  (r, c) => ((r * c) % 2) + ((r * c) % 3) === 0,
  (r, c) => (((r * c) % 2) + ((r * c) % 3)) % 2 === 0,
  (r, c) => (((r + c) % 2) + ((r * c) % 3)) % 2 === 0,
];

/**
 * Return the code of a text; null if it is too long for one (213 bytes).
 * @param {string} text
 * @param {number} [mask] 0 to 7; the best one if absent
 * @returns {Modules | null}
 */
export function qrCode(text, mask) {
  const bytes = new TextEncoder().encode(text);
  const version = versionFor(bytes.length);
  if (version === null) return null;
  const codewords = protect(dataCodewords(bytes, version), version);
  const masks = mask === undefined ? [...MASKS.keys()] : [mask];
  const codes = masks.map((each) => draw(codewords, version, each));
  const penalties = codes.map(penalty);
  return codes[penalties.indexOf(Math.min(...penalties))] ?? null;
}

/**
 * Return a picture of dark squares on a light ground, whatever the theme is.
 * @param {Modules} modules
 * @param {string} label
 */
export function picture(modules, label) {
  const margin = 4; // as the QR standard wants it
  const size = modules.length + 2 * margin;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("class", "qr");
  const path = document.createElementNS(SVG, "path");
  const squares = modules.flatMap((row, y) =>
    row.map((dark, x) => (dark ? `M${x + margin} ${y + margin}h1v1h-1z` : "")));
  path.setAttribute("d", squares.join(""));
  svg.append(path);
  return svg;
}

// --- codewords ----------------------------------------------------------------------

/** @param {number} version */
const sizeOf = (version) => 17 + 4 * version;

/**
 * Return how many codewords a version holds, error correction included.
 * @param {number} version
 */
function capacity(version) {
  const along = alignments(version).length;
  let modules = (16 * version + 128) * version + 64; // all but finders, timing and format
  if (along > 0) modules -= (25 * along - 10) * along - 55;
  if (version >= 7) modules -= 36;
  return modules >> 3;
}

/** @param {number} version */
function dataCapacity(version) {
  const [correction, blocks] = /** @type {[number, number]} */ (BLOCKS[version]);
  return capacity(version) - correction * blocks;
}

/** @param {number} version */
const countBits = (version) => (version < 10 ? 8 : 16);

/** @param {number} length in bytes */
function versionFor(length) {
  for (let version = 1; version <= VERSIONS; version += 1) {
    if (4 + countBits(version) + 8 * length <= 8 * dataCapacity(version)) return version;
  }
  return null;
}

/**
 * Return mode, length, bytes and padding as codewords.
 * @param {Uint8Array} bytes
 * @param {number} version
 */
function dataCodewords(bytes, version) {
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ length) => {
    for (let bit = length - 1; bit >= 0; bit -= 1) bits.push((value >>> bit) & 1);
  };
  put(0b0100, 4); // bytes
  put(bytes.length, countBits(version));
  for (const byte of bytes) put(byte, 8);
  const limit = 8 * dataCapacity(version);
  put(0, Math.min(4, limit - bits.length)); // the end
  put(0, -bits.length & 7);
  for (let pad = 0xec; bits.length < limit; pad ^= 0xec ^ 0x11) put(pad, 8);
  return Array.from({ length: limit / 8 }, (_, index) =>
    bits.slice(8 * index, 8 * index + 8).reduce((byte, bit) => (byte << 1) | bit, 0));
}

/**
 * Cut into blocks, add error correction, and interleave.
 * @param {number[]} data
 * @param {number} version
 */
function protect(data, version) {
  const [correction, count] = /** @type {[number, number]} */ (BLOCKS[version]);
  const short = Math.floor(data.length / count);
  const firstLong = count - (data.length % count);
  const generator = generatorOf(correction);
  let start = 0;
  const blocks = Array.from({ length: count }, (_, index) => {
    const block = data.slice(start, start + short + (index < firstLong ? 0 : 1));
    start += block.length;
    return block;
  });
  const corrections = blocks.map((block) => remainder(block, generator));
  return [...interleave(blocks), ...interleave(corrections)];
}

/** @param {number[][]} blocks */
function interleave(blocks) {
  const longest = Math.max(...blocks.map(({ length }) => length));
  return Array.from({ length: longest }, (_, index) => blocks.map((block) => block[index]))
    .flat()
    .filter((codeword) => codeword !== undefined);
}

/**
 * Multiply in GF(256) modulo x^8 + x^4 + x^3 + x^2 + 1.
 * @param {number} a
 * @param {number} b
 */
function multiply(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    product ^= ((b >>> bit) & 1) * a;
  }
  return product;
}

/**
 * Return (x - 1)(x - 2)(x - 4)... without its leading 1.
 * @param {number} degree
 */
function generatorOf(degree) {
  /** @type {number[]} */
  const result = [...new Array(degree - 1).fill(0), 1];
  let root = 1;
  for (let factor = 0; factor < degree; factor += 1) {
    for (const [index, coefficient] of result.entries()) {
      result[index] = multiply(coefficient, root) ^ (result[index + 1] ?? 0);
    }
    root = multiply(root, 2);
  }
  return result;
}

/**
 * @param {number[]} data
 * @param {number[]} generator
 */
function remainder(data, generator) {
  const result = generator.map(() => 0);
  for (const codeword of data) {
    const factor = codeword ^ /** @type {number} */ (result.shift());
    result.push(0);
    for (const [index, coefficient] of generator.entries()) {
      result[index] = /** @type {number} */ (result[index]) ^ multiply(coefficient, factor);
    }
  }
  return result;
}

// --- the square ---------------------------------------------------------------------

/**
 * Return where alignment patterns are centred, along either axis.
 * @param {number} version
 */
function alignments(version) {
  if (version === 1) return [];
  const last = sizeOf(version) - 7;
  return version < 7 ? [6, last] : [6, (6 + last) / 2, last];
}

/**
 * @param {number[]} codewords
 * @param {number} version
 * @param {number} mask
 * @returns {Modules}
 */
function draw(codewords, version, mask) {
  const size = sizeOf(version);
  /** Modules of the fixed patterns; the others are still undefined. */
  const fixed = Array.from({ length: size }, () => new Array(size));
  drawPatterns(fixed, version);
  drawFormat(fixed, mask);
  if (version >= 7) drawVersion(fixed, version);
  const code = fixed.map((row) => row.map(Boolean));
  const covers = /** @type {(row: number, column: number) => boolean} */ (MASKS[mask]);
  let bit = 0;
  for (const [row, column] of zigzag(size)) {
    const line = /** @type {boolean[]} */ (code[row]);
    if (fixed[row]?.[column] !== undefined) continue;
    const codeword = codewords[bit >> 3] ?? 0; // some bits remain, and are 0
    line[column] = Boolean((codeword >>> (7 - (bit & 7))) & 1) !== covers(row, column);
    bit += 1;
  }
  return code;
}

/**
 * Yield rows and columns in the order in which bits are placed.
 * @param {number} size
 */
function* zigzag(size) {
  let upward = true;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right = 5; // the timing pattern has a column of its own
    for (let step = 0; step < size; step += 1) {
      const row = upward ? size - 1 - step : step;
      yield /** @type {const} */ ([row, right]);
      yield /** @type {const} */ ([row, right - 1]);
    }
    upward = !upward;
  }
}

/**
 * @param {boolean[][]} fixed
 * @param {number} version
 */
function drawPatterns(fixed, version) {
  const size = fixed.length;
  const last = size - 7;
  for (let index = 0; index < size; index += 1) {
    set(fixed, 6, index, index % 2 === 0);
    set(fixed, index, 6, index % 2 === 0);
  }
  const places = alignments(version);
  for (const row of places) {
    for (const column of places) {
      const finder = (row === 6 || row === last) && (column === 6 || column === last)
        && !(row === last && column === last);
      if (!finder) drawRings(fixed, row, column, 2, (ring) => ring !== 1);
    }
  }
  for (const [row, column] of [[3, 3], [3, size - 4], [size - 4, 3]]) {
    drawRings(fixed, Number(row), Number(column), 4, (ring) => ring !== 2 && ring !== 4);
  }
  set(fixed, size - 8, 8, true);
}

/**
 * @param {boolean[][]} fixed
 * @param {number} row of the centre
 * @param {number} column of the centre
 * @param {number} radius
 * @param {(ring: number) => boolean} dark
 */
function drawRings(fixed, row, column, radius, dark) {
  for (let down = -radius; down <= radius; down += 1) {
    for (let right = -radius; right <= radius; right += 1) {
      const ring = Math.max(Math.abs(down), Math.abs(right));
      set(fixed, row + down, column + right, dark(ring));
    }
  }
}

/**
 * @param {boolean[][]} fixed
 * @param {number} mask
 */
function drawFormat(fixed, mask) {
  const size = fixed.length;
  const data = mask; // level M is 00
  const bits = ((data << 10) | bch(data, 0x537, 10)) ^ 0x5412;
  for (let index = 0; index < 15; index += 1) {
    const dark = Boolean((bits >>> index) & 1);
    // Around the first finder, skipping the timing patterns; and split over the others.
    if (index < 8) set(fixed, index < 6 ? index : index + 1, 8, dark);
    else set(fixed, 8, index === 8 ? 7 : 14 - index, dark);
    if (index < 8) set(fixed, 8, size - 1 - index, dark);
    else set(fixed, size - 15 + index, 8, dark);
  }
}

/**
 * @param {boolean[][]} fixed
 * @param {number} version
 */
function drawVersion(fixed, version) {
  const bits = (version << 12) | bch(version, 0x1f25, 12);
  for (let index = 0; index < 18; index += 1) {
    const dark = Boolean((bits >>> index) & 1);
    const far = fixed.length - 11 + (index % 3);
    const near = Math.floor(index / 3);
    set(fixed, far, near, dark);
    set(fixed, near, far, dark);
  }
}

/**
 * Return the check bits of a BCH code.
 * @param {number} data
 * @param {number} generator
 * @param {number} length of the check bits
 */
function bch(data, generator, length) {
  let rest = data;
  for (let step = 0; step < length; step += 1) {
    rest = (rest << 1) ^ ((rest >>> (length - 1)) * generator);
  }
  return rest;
}

/**
 * Set a module, where there is one.
 * @param {boolean[][]} modules
 * @param {number} row
 * @param {number} column
 * @param {boolean} dark
 */
function set(modules, row, column, dark) {
  const line = modules[row];
  if (line !== undefined && column >= 0 && column < modules.length) line[column] = dark;
}

// --- choosing a mask ----------------------------------------------------------------

/**
 * Return how hard a code is to read (ISO/IEC 18004, section 7.8.3).
 * @param {Modules} code
 */
function penalty(code) {
  const size = code.length;
  const rows = code.map((row) => row.map((dark) => (dark ? "1" : "0")).join(""));
  const columns = rows.map((_, column) => rows.map((row) => row[column]).join(""));
  let total = 0;
  for (const line of [...rows, ...columns]) {
    for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) total += run.length - 2;
    // Like a finder: its ratio, with light on one side.
    for (const like of [/(?=10111010000)/g, /(?=00001011101)/g]) {
      total += 40 * [...line.matchAll(like)].length;
    }
  }
  for (let row = 1; row < size; row += 1) {
    for (let column = 1; column < size; column += 1) {
      const square = (rows[row - 1] ?? "").slice(column - 1, column + 1)
        + (rows[row] ?? "").slice(column - 1, column + 1);
      if (square === "0000" || square === "1111") total += 3;
    }
  }
  const dark = rows.join("").replaceAll("0", "").length;
  return total + 10 * Math.floor(Math.abs((100 * dark) / (size * size) - 50) / 5);
}
