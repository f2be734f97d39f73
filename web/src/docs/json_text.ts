// JSON text laid out to be read, digit for digit: it is never parsed, for JavaScript would round numbers of 64 bits. Text that is cut off stays readable too.
export function laidOut(text: string): string {
  let out = "";
  let depth = 0;
  let at = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  while (at < text.length) {
    const c = text.charAt(at);
    if (c === '"') {
      let end = at + 1;
      while (end < text.length && text.charAt(end) !== '"') end += text.charAt(end) === "\\" ? 2 : 1;
      out += text.slice(at, end + 1);
      at = end + 1;
      continue;
    }
    at += 1;
    if (/\s/.test(c)) continue;
    if (c === "{" || c === "[") {
      const empty = /^\s*[}\]]/.exec(text.slice(at, at + 64));
      if (empty) {
        out += c + empty[0].trim();
        at += empty[0].length;
      } else {
        depth += 1;
        out += c + line();
      }
    } else if (c === "}" || c === "]") {
      depth = Math.max(0, depth - 1);
      out += line() + c;
    } else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else out += c;
  }
  return out;
}
