import { lookup as resolve, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** The address lies where a request of the server must not go: its own network, its machine, or nowhere. */
export class PrivateAddressError extends Error {
  override readonly name = 'PrivateAddressError';

  constructor() {
    super('the address of the webhook is not public; allow it with allowPrivateAddresses');
  }
}

/** Whether an address can be reached from anywhere: everything that is reserved for something is not. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 0) return false;
  // `process` also sees through IPv4 that is written as IPv6.
  return ipaddr.process(address).range() === 'unicast';
}

/**
 * A `lookup` for `http.request` that finds public addresses only. It is asked for the connection itself, so that a name
 * cannot point elsewhere between a check and the use (OWASP SSRF prevention).
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, []);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublic(address))) {
      return callback(new PrivateAddressError(), []);
    }
    if (options.all === true) return callback(null, addresses);
    const [first] = addresses as [LookupAddress];
    callback(null, first.address, first.family);
  });
};
