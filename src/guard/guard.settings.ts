import { NestAuthError } from '../errors/nest-auth.error.js';
import type { GuardOptions, ServiceOptions, ServicePrincipal } from './guard.types.js';
import { isServiceHash, isServiceName, matchesHash, serviceNamedBy } from './service-token.policy.js';

export const GUARD_FIELDS = ['services', 'apiKeys', 'unknownNames'];

const SERVICE_FIELDS = ['name', 'secretHashes', 'permissions'];
const MAX_HASHES = 2;

interface Service {
  readonly hashes: readonly Buffer[];
  readonly principal: ServicePrincipal;
}

/** What an application has configured about its guards, checked and with the defaults. */
export class GuardSettings {
  readonly throwsForUnknownNames: boolean;
  /** Whether an API key is as good as a session, where the handler allows it. */
  readonly takesApiKeys: boolean;
  readonly #services: ReadonlyMap<string, Service>;

  constructor({ services = [], apiKeys = false, unknownNames = 'throw' }: GuardOptions = {}) {
    if (typeof apiKeys !== 'boolean') refuse('apiKeys', 'must be true or false');
    if (unknownNames !== 'throw' && unknownNames !== 'warn') refuse('unknownNames', 'must be throw or warn');
    if (!Array.isArray(services)) refuse('services', 'must be an array');
    const read = services.map(readService);
    const hashes = services.flatMap(({ secretHashes }) => secretHashes);
    if (new Set(hashes).size < hashes.length) refuse('services', 'must have hashes of their own');
    this.throwsForUnknownNames = unknownNames === 'throw';
    this.takesApiKeys = apiKeys;
    this.#services = new Map(read.map((service) => [service.principal.name, service]));
    if (this.#services.size < services.length) refuse('services', 'must have names of their own');
  }

  /** The services that may call. */
  get services(): readonly ServicePrincipal[] {
    return [...this.#services.values()].map(({ principal }) => principal);
  }

  /** Whose a token is; null for anything but a token that we have the hash of. */
  findService(token: string): ServicePrincipal | null {
    const service = this.#services.get(serviceNamedBy(token) ?? '');
    return service !== undefined && matchesHash(token, service.hashes) ? service.principal : null;
  }
}

function readService(service: ServiceOptions, index: number): Service {
  const path = `services[${index}]`;
  if (typeof service !== 'object' || service === null) refuse(path, 'must be an object');
  for (const field of Object.keys(service)) {
    if (!SERVICE_FIELDS.includes(field))
      refuse(`${path}.${field}`, `is not known; known are ${SERVICE_FIELDS.join(', ')}`);
  }
  const { name, secretHashes, permissions = [] } = service;
  if (!isServiceName(name)) refuse(`${path}.name`, 'must be of lower-case letters, digits and -, a letter first');
  const areHashes = Array.isArray(secretHashes) && secretHashes.every(isServiceHash);
  if (!areHashes || secretHashes.length === 0 || secretHashes.length > MAX_HASHES) {
    refuse(`${path}.secretHashes`, `must be 1 to ${MAX_HASHES} hashes that generateServiceToken() has made`);
  }
  if (!Array.isArray(permissions) || !permissions.every((permission) => typeof permission === 'string')) {
    refuse(`${path}.permissions`, 'must be an array of names');
  }
  const principal = Object.freeze({ type: 'service', name, permissions: Object.freeze([...permissions]) } as const);
  return { hashes: secretHashes.map((hash) => Buffer.from(hash, 'hex')), principal };
}

function refuse(name: string, message: string): never {
  const option = `guard.${name}`;
  throw new NestAuthError('INVALID_OPTIONS', `NestAuthModule: ${option} ${message}`, { details: { option } });
}
