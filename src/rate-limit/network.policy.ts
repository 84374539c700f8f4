import ipaddr from 'ipaddr.js';

/** For calls of which nobody says where they come from. No client has this address. */
const UNKNOWN_NETWORK = '0.0.0.0/32';

/** A subscriber is given at least so many bits of IPv6 (RFC 6177), and changes the rest at will. */
const IPV6_PREFIX = 64;

/**
 * Who stands behind an address, as CIDR: an IPv4 address by itself, of IPv6 the /64. IPv4 that is written as IPv6, as a
 * socket for both does, is IPv4.
 */
export function networkOf(ip: string | null | undefined): string {
  if (ip == null || !ipaddr.isValid(ip)) return UNKNOWN_NETWORK;
  const address = ipaddr.process(ip);
  if (address.kind() === 'ipv4') return `${address.toString()}/32`;
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${address.toNormalizedString()}/${IPV6_PREFIX}`);
  return `${network.toString()}/${IPV6_PREFIX}`;
}

/** The address itself, IPv4 as IPv4. */
export function addressOf(ip: string): string {
  return ipaddr.isValid(ip) ? ipaddr.process(ip).toString() : ip;
}
