// Makes a browser's picture small enough for a repository: 256 colours instead of three bytes a point. The page has few colours, so what
// is lost are shades at the edges of letters, which come as the nearest shade that there is.
import {deflateSync, inflateSync} from "node:zlib";

const signature = Buffer.from("89504e470d0a1a0a", "hex");
const coloursMax = 256;

function checksum(bytes) {
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

function chunk(kind, body) {
  const named = Buffer.concat([Buffer.from(kind, "latin1"), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  named.copy(framed, 4);
  framed.writeUInt32BE(checksum(named), named.length + 4);
  return framed;
}

function chunksOf(png) {
  const found = [];
  for (let at = signature.length; at < png.length;) {
    const bytes = png.readUInt32BE(at);
    found.push({kind: png.toString("latin1", at + 4, at + 8), body: png.subarray(at + 8, at + 8 + bytes)});
    at += 12 + bytes;
  }
  return found;
}

function paeth(left, above, corner) {
  const guess = left + above - corner;
  const [toLeft, toAbove, toCorner] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
  return toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
}

/// The points of a picture with three bytes each and no interlacing, as the PNG specification undoes its five filters.
function pointsOf(packed, width, height) {
  const line = width * 3;
  const points = Buffer.alloc(line * height);
  for (let row = 0; row < height; row += 1) {
    const filter = packed[row * (line + 1)];
    for (let n = 0; n < line; n += 1) {
      const at = row * line + n;
      const left = n >= 3 ? points[at - 3] : 0;
      const above = row > 0 ? points[at - line] : 0;
      const corner = n >= 3 && row > 0 ? points[at - line - 3] : 0;
      const added = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
      points[at] = packed[row * (line + 1) + 1 + n] + added;
    }
  }
  return points;
}

/// The colours used most, and for each colour of the picture the place of the nearest of them.
function paletteOf(points) {
  const counts = new Map();
  for (let at = 0; at < points.length; at += 3) {
    const colour = points.readUIntBE(at, 3);
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const kept = [...counts].sort((one, other) => other[1] - one[1]).slice(0, coloursMax).map(([colour]) => colour);
  const parts = (colour) => [colour >> 16, (colour >> 8) & 255, colour & 255];
  const far = (one, other) => parts(one).reduce((sum, part, n) => sum + (part - parts(other)[n]) ** 2, 0);
  const place = new Map();
  for (const colour of counts.keys()) place.set(colour, kept.reduce((best, each, n) => (far(colour, each) < far(colour, kept[best]) ? n : best), 0));
  return {kept, place};
}

/// The same picture in at most 256 colours. `png`: as Chromium writes it, eight bits of red, green and blue.
export function smallPng(png) {
  const parts = chunksOf(png);
  const head = Buffer.from(parts[0].body);
  if (head[8] !== 8 || head[9] !== 2 || head[12] !== 0) throw new Error("not a picture of three bytes a point");
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const points = pointsOf(inflateSync(Buffer.concat(parts.filter(({kind}) => kind === "IDAT").map(({body}) => body))), width, height);
  const {kept, place} = paletteOf(points);
  const packed = Buffer.alloc((width + 1) * height);
  for (let row = 0; row < height; row += 1) for (let n = 0; n < width; n += 1) packed[row * (width + 1) + 1 + n] = place.get(points.readUIntBE((row * width + n) * 3, 3));
  head[9] = 3;
  const colours = Buffer.concat(kept.map((colour) => Buffer.from([colour >> 16, (colour >> 8) & 255, colour & 255])));
  return Buffer.concat([signature, chunk("IHDR", head), chunk("PLTE", colours), chunk("IDAT", deflateSync(packed, {level: 9})), chunk("IEND", Buffer.alloc(0))]);
}
