/** What the system says of a file, and what to do about it. `at` names the file. */
const fileWords: Readonly<Record<string, (at: string) => string>> = {
  ENOENT: (at) => `there is no ${at}; check the path`,
  ENOTDIR: (at) => `a part of ${at} is a file and no folder; name another path`,
  EISDIR: (at) => `${at} is a folder; name a file in it`,
  EACCES: (at) => `${at} may not be used by this user; change its permissions, or name another path`,
  EPERM: (at) => `${at} may not be used by this user; change its permissions, or name another path`,
  EEXIST: (at) => `${at} is there already and is no folder; name another path`,
  EROFS: (at) => `${at} is on a file system that can only be read; name another path`,
  ENOSPC: (at) => `the disk of ${at} is full; make room, or name another path`,
  ENAMETOOLONG: (at) => `${at} is too long for a path`,
  ELOOP: (at) => `${at} is a link that leads to itself; name another path`,
  EAGAIN: (at) => `${at} gives nothing; pipe the text in, or name a file`,
  EMFILE: (at) => `${at} cannot be opened: this user has too many files open`,
};

const networkWords: Readonly<Record<string, (at: string) => string>> = {
  ECONNREFUSED: (at) => `nothing answers at ${at}; is it running, and is the address right?`,
  ENOTFOUND: (at) => `there is no host ${at}; check the address`,
  EAI_AGAIN: (at) => `the name ${at} cannot be looked up now; check the address and the network`,
  EADDRINUSE: (at) => `${at} is used by another program; name another port`,
  EADDRNOTAVAIL: (at) => `${at} is no address of this machine; name another one`,
  EHOSTUNREACH: (at) => `${at} cannot be reached; check the address and the network`,
  ETIMEDOUT: (at) => `${at} does not answer; check the address and the network`,
};

interface SystemError {
  readonly code?: unknown;
  readonly path?: unknown;
  readonly dest?: unknown;
  readonly address?: unknown;
  readonly hostname?: unknown;
  readonly port?: unknown;
  readonly errors?: unknown;
}

/** An error in one sentence for people. System errors say what to do; others stand on their own. */
export function plainMessage(error: unknown): string {
  // Not by class: what another realm has thrown, as in a worker, is of none of ours.
  if (typeof error !== 'object' || error === null || !('message' in error)) return String(error);
  const { message, name, code, path, dest, address, hostname, port, errors } = error as Error & SystemError;
  // Node tries all addresses of a name and tells of each.
  if (Array.isArray(errors) && errors.length > 0 && message === '') return plainMessage(errors[0]);
  if (typeof code === 'string') {
    const file = typeof path === 'string' ? path : dest;
    if (typeof file === 'string') return fileWords[code]?.(file) ?? message;
    const host = typeof address === 'string' ? address : hostname;
    if (typeof host === 'string')
      return networkWords[code]?.(port === undefined ? host : `${host}:${String(port)}`) ?? message;
  }
  return message === '' ? name : message;
}
