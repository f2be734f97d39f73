// A server in front of a running daemon that passes all on to it, and can be cut off: the network between page and daemon.
import {createServer, request} from "node:http";

function passOn(daemon, asked, answer) {
  // The daemon wants its own name, and no page of another origin: to it this is one and the same.
  const headers = {...asked.headers, host: daemon.host};
  delete headers.origin;
  delete headers.referer;
  const passed = request({host: daemon.hostname, port: daemon.port, method: asked.method, path: asked.url, headers}, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
    got.on("error", () => answer.destroy());
  });
  passed.on("error", () => answer.destroy());
  answer.on("close", () => passed.destroy());
  asked.pipe(passed);
}

/// {origin, close} of a server on a free port (or `port`) in front of the daemon at `url`. `answered` may answer a request itself: true if it did.
export function relay(url, {port = 0, answered = () => false} = {}) {
  const daemon = new URL(url);
  const server = createServer((asked, answer) => answered(asked, answer) || passOn(daemon, asked, answer));
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, "127.0.0.1", () => done({
      origin: `http://127.0.0.1:${server.address().port}`,
      close: () => new Promise((closed) => {
        server.close(closed);
        server.closeAllConnections();
      }),
    }));
  });
}
