// A line to a server that can be cut and held: what a network does to a stream. It keeps the heads of the requests that went through it.
import { createServer, connect } from 'node:net';
import { once } from 'node:events';

export async function layLine(url) {
  const { hostname, port } = new URL(url);
  const through = new Set();
  const heads = [];
  const line = {
    heads,
    dead: false, // nobody gets through
    rewrite: (text) => text, // of what is sent
    cut() {
      for (const socket of through) socket.destroy();
    },
    streams: () => heads.filter((head) => head.startsWith('GET /v1/events')),
  };
  const server = createServer((near) => {
    if (line.dead) return near.destroy();
    const far = connect({ host: hostname, port });
    for (const [from, to] of [[near, far], [far, near]]) {
      through.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => { through.delete(from); to.destroy(); });
    }
    far.pipe(near);
    return near.on('data', (bytes) => {
      const text = line.rewrite(bytes.toString('latin1'));
      if (/^[A-Z]+ \//.test(text)) heads.push(text);
      far.write(text, 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  line.url = `http://127.0.0.1:${server.address().port}`;
  line.close = async () => {
    line.cut();
    server.close();
    await once(server, 'close');
  };
  return line;
}
