import { mark, table } from './terminal.js';

/** What one must know of the tokens that `/auth/…` answers. */
export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

type Body = Record<string, unknown>;

interface Answer {
  readonly status: number;
  readonly body: Body;
}

/** One request of the demo, with what it had to answer. */
interface Step {
  readonly title: string;
  readonly request: string;
  readonly expected: string;
  readonly found: string;
}

interface Sending {
  /** An access token, or an API key. */
  readonly token?: string | undefined;
  readonly body?: object;
  /** For a header that nobody believes. */
  readonly tenantId?: string;
  /** What of a good answer stands behind its status. */
  readonly show?: (body: Body) => string;
}

/** Goes through the portal over HTTP, and keeps each step with what it had to answer. */
export class PortalClient {
  readonly #steps: Step[] = [];

  constructor(private readonly url: string) {}

  /** Sends `GET /path`, say; `expected` is the status and, of a refusal, its code. */
  async step(title: string, request: string, expected: string, sending: Sending = {}): Promise<Body> {
    const { status, body } = await this.#send(request, sending);
    const shown = status < 400 ? (sending.show?.(body) ?? '') : String(body['code']);
    this.#steps.push({ title, request, expected, found: `${status} ${shown}`.trim() });
    return body;
  }

  async tokens(title: string, request: string, body: object): Promise<Tokens> {
    return (await this.step(title, request, '200', { body })) as unknown as Tokens;
  }

  /** Prints the steps; true when each has answered what it had to. */
  show(): boolean {
    table(
      [
        { title: '', width: 1 },
        { title: 'step', width: 42 },
        { title: 'request', width: 32 },
        { title: 'answer', width: 26 },
      ],
      this.#steps.map(({ title, request, expected, found }) => [mark(expected === found), title, request, found]),
    );
    return this.#steps.every(({ expected, found }) => expected === found);
  }

  async #send(request: string, { token, body, tenantId }: Sending): Promise<Answer> {
    const [method = '', path = ''] = request.split(' ');
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(tenantId === undefined ? {} : { 'x-tenant-id': tenantId }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Body };
  }
}
