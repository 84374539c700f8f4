import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

import { throughPooler } from './connection-mode.js';

/** When to cut the connection that sends a certain text. */
type Cut = 'before it reaches the server' | 'before its reply reaches the client';

/** A relay in front of PostgreSQL that can lose what nobody else can: a COMMIT, or only its answer. */
export interface TcpProxy {
  readonly url: string;
  /** Cuts the next connection that sends `text`, once; resolves when it has. */
  cut(text: string, when: Cut): Promise<void>;
  /**
   * From the next `text` on nothing of that connection arrives any more, in either direction, not even that it was
   * closed; resolves when it has begun.
   */
  silence(text: string): Promise<void>;
  /** Leads whoever connects from now on to another server; connections that are there stay where they are. */
  lead(target: string): void;
  /** Forgets what was to be cut or silenced and has not been yet. */
  disarm(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  let server = new URL(throughPooler(target));
  const sockets = new Set<Socket>();
  let armed: { text: string; when: Cut | 'silence'; done: () => void } | undefined;

  const relay = createServer((client) => {
    const upstream = connect(Number(server.port), server.hostname);
    let replyIsLost: (() => void) | undefined;
    let isSilent = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        if (isSilent) return;
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (bytes) => {
      if (isSilent) return;
      if (armed === undefined || !bytes.includes(armed.text)) return void upstream.write(bytes);
      const { when, done } = armed;
      armed = undefined;
      if (when === 'silence') {
        isSilent = true;
        done();
      } else if (when === 'before it reaches the server') {
        client.destroy();
        done();
      } else {
        replyIsLost = done;
        upstream.write(bytes);
      }
    });
    upstream.on('data', (bytes) => {
      if (isSilent) return;
      if (replyIsLost === undefined) return void client.write(bytes);
      // The server has answered, so what it was asked for is done.
      client.destroy();
      replyIsLost();
    });
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');

  const url = new URL(target);
  url.host = `127.0.0.1:${(relay.address() as AddressInfo).port}`;
  return {
    url: url.href,
    cut: (text, when) => new Promise((done) => (armed = { text, when, done })),
    silence: (text) => new Promise((done) => (armed = { text, when: 'silence', done })),
    lead: (other) => void (server = new URL(throughPooler(other))),
    disarm: () => (armed = undefined),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      relay.close();
      await once(relay, 'close');
    },
  };
}
