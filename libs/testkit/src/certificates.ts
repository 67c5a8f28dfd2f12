import { generate } from 'selfsigned';

/** PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority of the test's own; nobody trusts it who was not told to. */
export interface TestAuthority extends TestCertificate {
  /** A certificate for `localhost` and 127.0.0.1, good for servers and clients. */
  issue(commonName?: string): Promise<TestCertificate>;
}

const DAY_MS = 86_400_000;

/** Made anew for each test, so that no private key lies in the repository and none can expire there. */
export async function createTestAuthority(name = 'flexpush test authority'): Promise<TestAuthority> {
  // An hour back: the clock of another container may be behind.
  const dates = {
    notBeforeDate: new Date(Date.now() - 3_600_000),
    notAfterDate: new Date(Date.now() + DAY_MS),
  };
  const common = { keyType: 'ec', algorithm: 'sha256', ...dates } as const;
  const made = await generate([{ name: 'commonName', value: name }], {
    ...common,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const authority = { cert: made.cert, key: made.private };
  return {
    ...authority,
    async issue(commonName = 'localhost') {
      const issued = await generate([{ name: 'commonName', value: commonName }], {
        ...common,
        ca: authority,
        extensions: [
          { name: 'basicConstraints', cA: false },
          { name: 'keyUsage', digitalSignature: true, critical: true },
          { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
          {
            name: 'subjectAltName',
            altNames: [
              { type: 2, value: 'localhost' },
              { type: 7, ip: '127.0.0.1' },
            ],
          },
        ],
      });
      return { cert: issued.cert, key: issued.private };
    },
  };
}
